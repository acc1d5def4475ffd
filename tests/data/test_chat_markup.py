"""Dialogues that are written as one text, in every markup; and texts that only look like one."""

import pytest

from cai.data.chat_markup import common_markup, read_marked, without_closing
from cai.data.tables import RowError
from cai.types import Message

FULL = ("system", "S."), ("user", "A."), ("assistant", "B."), ("user", "C.")
DIALOGUES = {
    "ChatML": "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\nA.<|im_end|>\n"
    "<|im_start|>assistant\nB.<|im_end|>\n<|im_start|>user\nC.<|im_end|>\n",
    "Llama 3": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nS.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nA.<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nB.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nC.<|eot_id|>",
    "[INST]": "<s>[INST] <<SYS>>\nS.\n<</SYS>>\n\nA. [/INST] B. </s><s>[INST] C. [/INST]",
    "<|user|>": "<|system|>\nS.</s>\n<|user|>\nA.</s>\n<|assistant|>\nB.</s>\n<|user|>\nC.</s>",
    "Harmony": "<|start|>system<|message|>S.<|end|><|start|>user<|message|>A.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>B.<|end|><|start|>user<|message|>C.<|end|>",
    "Command R": "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>A.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>B.<|END_OF_TURN_TOKEN|>"
    "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>C.<|END_OF_TURN_TOKEN|>",
    "DeepSeek": "<｜begin▁of▁sentence｜>S.<｜User｜>A.<｜Assistant｜>"
    "B.<｜end▁of▁sentence｜><｜User｜>C.",
    "### Human:": "S.\n### Human: A.### Assistant: B.### Human: C.",
    "### Instruction:": "S.\n\n### Instruction:\nA.\n\n### Response:\nB.\n\n### Instruction:\nC.",
    "USER: ASSISTANT:": "S. USER: A. ASSISTANT: B.</s>USER: C. ASSISTANT:",
    "Human: Assistant:": "System: S.\nHuman: A.\n\nAssistant: B.\n\nHuman: C.\n\nAssistant:",
    "[|Human|]": "S.\n[|Human|] A.\n[|AI|] B.\n[|Human|] C.",
    "<human>:": "S.\n<human>: A.\n<bot>: B.\n<human>: C.",
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_text_in_chat_markup_is_a_dialogue(name: str):
    text = DIALOGUES[name]
    assert common_markup([text, None, text]) == name
    turns = [turn for turn in read_marked(name, text, "prompt") if turn.content]
    assert [(turn.role, turn.content) for turn in turns] == list(FULL)


@pytest.mark.parametrize("question, answer", [("Q", "A"), ("Question", "Answer")])
def test_questions_and_answers_are_dialogues(question: str, answer: str):
    text = f"{question}: What now?\n{answer}: Oil it.\n\n{question}: And then?\n{answer}:"
    assert common_markup([text]) == "Q: A:"
    turns = [turn.content for turn in read_marked("Q: A:", text, "prompt")]
    assert turns[:3] == ["What now?", "Oil it.", "And then?"]
    assert common_markup(["What is the Q: A: form?", "Plan A: mend it.\nQ: no?"]) == ""


def test_gemma_has_no_system_turn():
    text = "<bos><start_of_turn>user\nA.<end_of_turn>\n<start_of_turn>model\n"
    assert read_marked("Gemma", text, "prompt")[0] == Message("user", "A.")


@pytest.mark.parametrize(
    "text",
    [
        "What does a user: prefix mean in YAML?",
        "Explain the token <|im_start|>.",
        "Here is a conversation:\n\nHuman: Hi.\n\nAssistant: Hello.\n\nWas the assistant kind?",
        "Write a story. The answer: yes.",
        "### Heading\n\nSome text.",
    ],
)
def test_a_request_about_dialogues_is_a_text(text: str):
    assert common_markup([text]) == ""


def test_a_few_imitations_among_texts_stay_texts():
    assert common_markup(["Plain.", "Also.", DIALOGUES["ChatML"]]) == ""


def test_a_text_among_dialogues_is_a_bad_row():
    with pytest.raises(RowError, match="ChatML"):
        read_marked("ChatML", "Plain.", "prompt")


def test_a_tool_turn_is_refused_by_name():
    text = "<|im_start|>user\nA.<|im_end|>\n<|im_start|>tool\n{}<|im_end|>\n"
    with pytest.raises(RowError, match="tool turn"):
        read_marked("ChatML", text, "prompt")


def test_the_closing_token_of_an_answer_is_no_part_of_it():
    assert without_closing("ChatML", "So.<|im_end|>\n") == "So."
    assert without_closing("text", "So.<|im_end|>") == "So.<|im_end|>"
