r"""Dialogues that are written as one text, in the markup of a data set or of a chat template.

Each markup is an entry of `MARKUPS`: what opens a turn, and what closes one. hh-rlhf marks its
turns `\n\nHuman: ` and `\n\nAssistant: ` and keeps every space within them (Bai et al. 2022,
arXiv:2204.05862); in the others the white space around a turn belongs to the markup. Text before
the first turn is a system turn.

Example:
    markup = common_markup(["<|im_start|>user\nHi.<|im_end|>\n"])     # "ChatML"
    turns = read_marked(markup, text, "prompt")                       # (Message("user", "Hi."),)
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cai.data.roles import ROLES, read_role
from cai.data.tables import RowError
from cai.types import Conversation, Message

_USER = r"human|user|prompter|customer"
_ASSISTANT = r"assistant|gpt|chatgpt|bot|model|ai|chatbot"
_NAMES = rf"system|{_USER}|{_ASSISTANT}"


@dataclass(frozen=True, slots=True)
class Markup:
    """How turns are marked off in a text."""

    name: str
    opening: re.Pattern[str]  # its first group names the role
    closing: re.Pattern[str] | None = None  # what ends a turn, or a whole text
    # Whether text may stand before the first turn: always, never, or where the dialogue is open.
    preamble: Literal["any", "none", "open"] = "any"
    is_exact: bool = False  # whether the space around a turn is part of it


def _tokens(name: str, opening: str, closing: str) -> Markup:
    return Markup(name, re.compile(opening, re.IGNORECASE), re.compile(closing))


_ENDS = r"<\|begin_of_text\|>|<\|endoftext\|>|<bos>|<eos>|</?s>|<\|end_of_text\|>"

# The first one that fits decides. Control tokens go first: words may stand within their turns.
MARKUPS: dict[str, Markup] = {
    markup.name: markup
    for markup in (
        # The space after the colon is part of the marker; a turn that starts with a line break, or
        # the open last turn, has none. "Humans:" and "Human:no" inside a text are not markers.
        Markup(
            "hh-rlhf",
            re.compile(r"\n\n(Human|Assistant):(?: |(?=\n)|\Z)"),
            preamble="none",
            is_exact=True,
        ),
        _tokens("ChatML", r"<\|im_start\|>\s*([\w-]+)[^\S\n]*\n?", rf"<\|im_end\|>|{_ENDS}"),
        _tokens(
            "Llama 3", r"<\|start_header_id\|>(\w+)<\|end_header_id\|>", rf"<\|eot_id\|>|{_ENDS}"
        ),
        _tokens("Llama 4", r"<\|header_start\|>(\w+)<\|header_end\|>", rf"<\|eot\|>|{_ENDS}"),
        _tokens("Gemma", r"<start_of_turn>(\w+)\n?", rf"<end_of_turn>|{_ENDS}"),
        _tokens(
            "Harmony",
            r"<\|start\|>(\w+)(?:<\|channel\|>\w+)?<\|message\|>",
            rf"<\|end\|>|<\|return\|>|{_ENDS}",
        ),
        _tokens(
            "Command R",
            r"<\|START_OF_TURN_TOKEN\|><\|(USER|SYSTEM|CHATBOT)_TOKEN\|>",
            rf"<\|END_OF_TURN_TOKEN\|>|<BOS_TOKEN>|{_ENDS}",
        ),
        _tokens("DeepSeek", r"<｜(User|Assistant)｜>", r"<｜(?:begin|end)▁of▁sentence｜>"),
        _tokens("[INST]", r"(\[/?INST\]|<</?SYS>>|\[/?SYSTEM_PROMPT\])", _ENDS),
        _tokens("<|user|>", rf"<\|({_NAMES})\|>\n?", rf"<\|end\|>|<\|eos\|>|{_ENDS}"),
        _tokens("<human>:", r"(?:^|(?<=\s))<(human|bot|user|assistant)>: ?", _ENDS),
        _tokens("[|Human|]", r"\[\|(human|ai)\|\] ?", _ENDS),
        _tokens("### Human:", rf"#{{2,3}} ?({_NAMES}): ?", _ENDS),
        _tokens("### Instruction:", r"#{2,3} ?(Instruction|Input|Response|Output):[ \n]?", _ENDS),
        _tokens(
            "USER: ASSISTANT:",
            r"(?:^|(?<=\s)|(?<=</s>))((?-i:USER|ASSISTANT|FUNCTION RESPONSE)):",
            _ENDS,
        ),
        # A request that quotes a dialogue goes on after its last answer.
        Markup(
            "Human: Assistant:",
            re.compile(rf"(?:^|(?<=\n))(?:\*\*)?({_NAMES})(?:\*\*)?:(?:\*\*)?", re.IGNORECASE),
            preamble="open",
        ),
        # After the others, whose turns may hold questions and answers of an examination.
        Markup(
            "Q: A:", re.compile(r"(?:^|(?<=\n))(Q|A|Question|Answer):(?=\s|\Z)"), preamble="none"
        ),
    )
}
_ROLES_OF_MARKERS = {
    **dict.fromkeys(("[inst]", "<</sys>>", "[/system_prompt]", "input", "q"), "user"),
    **dict.fromkeys(("[/inst]", "output", "a"), "assistant"),
    **dict.fromkeys(("<<sys>>", "[system_prompt]"), "system"),
}


def markup_of(text: str) -> str:
    """The name of the markup that this text is in; "" where it is no dialogue."""
    return next((name for name, markup in MARKUPS.items() if _fits(markup, text)), "")


def common_markup(values: Sequence[object]) -> str:
    """The markup of these values; "" unless most are dialogues in it.

    A single row cannot choose: among plain texts, one that imitates turns stays a text.
    """
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    found = [markup_of(text) for text in texts]
    most = max(set(found), key=found.count, default="")
    return most if found.count(most) * 2 > len(values) else ""


def is_marked(name: str, text: str) -> bool:
    """Whether the text is a dialogue in that markup."""
    return _fits(MARKUPS[name], text)


def read_marked(name: str, text: str, column: str) -> Conversation:
    """All turns of a dialogue, in their order.

    Raises:
        RowError: It is not in that markup, or a turn is that of a tool.
    """
    markup = MARKUPS[name]
    if not _fits(markup, text):
        raise RowError(
            f"{column!r} does not begin with a turn in the markup of its column, {name}",
            "malformed" if text.strip() else "blank",
        )
    preamble, *parts = markup.opening.split(text)
    turns = [
        Message(read_role(_role_name(marker), column), _content(markup, content))
        for marker, content in zip(parts[::2], parts[1::2], strict=True)
    ]
    before = _content(markup, preamble)
    if before:
        turns.insert(0, Message("system", before))
    # Llama 2 opens its user turn before the system text, and that turn is empty.
    return tuple(
        turn
        for i, turn in enumerate(turns)
        if turn.content or markup.is_exact or i == len(turns) - 1
    )


def without_closing(name: str, answer: str) -> str:
    """An answer without the tokens that end its turn in that markup, where it ends in them."""
    markup = MARKUPS.get(name)
    if markup is None or markup.closing is None:
        return answer
    ending = re.search(rf"(?:\s*(?:{markup.closing.pattern}))+\s*\Z", answer)
    return answer[: ending.start()] if ending else answer


def _fits(markup: Markup, text: str) -> bool:
    before, *parts = markup.opening.split(text)
    if not parts or (markup.preamble == "none" and before):
        return False
    roles = [_role_of(marker) for marker in parts[::2]]
    if "user" not in roles:
        return False
    if not _content(markup, before):
        return "assistant" in roles or roles[0] in ("user", "system")
    # Within prose a single marker is a quotation: only a user's turn and an answer make a dialogue.
    is_open = roles[-1] == "user" or not _content(markup, parts[-1])
    return "assistant" in roles and (markup.preamble == "any" or is_open)


def _role_name(marker: str) -> str:
    return _ROLES_OF_MARKERS.get(marker.casefold(), marker)


def _role_of(marker: str) -> str:
    return ROLES.get(_role_name(marker).casefold(), "")


def _content(markup: Markup, text: str) -> str:
    if markup.is_exact:
        return text
    return (markup.closing.sub("", text) if markup.closing else text).strip()
