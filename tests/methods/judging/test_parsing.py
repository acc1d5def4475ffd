"""Reading a judge's words: the last explicit statement counts, and nothing else is a verdict."""

import json
import re
from collections.abc import Callable

import pytest

from cai.methods.judging.parsing import (
    MARK_SCHEMA,
    VERDICT_SCHEMA,
    YES_NO_SCHEMA,
    is_refusal,
    read_mark,
    read_vote,
    read_yes_no,
)

WHOLE_ANSWERS = {
    "A": "a", "B": "b", "a": "a", "b": "b", "(A)": "a", "(B)": "b", "(b)": "b", "[A]": "a",
    "**A**": "a", "**A**.": "a", "__B__": "b", "`B`": "b", "_A_": "a", "A)": "a", "A.": "a",
    "B!": "b", '"A"': "a", "'B'": "b", "“A”": "a", "  \n B \n": "b", "<A>": "a", "{B}": "b",
    "Ａ": "a", "（Ｂ）": "b", "[[A]]": "a", "[[B]]": "b", "$A$": "a", "# A": "a", "- B": "b",
    "Response A": "a", "**Response B**": "b", "Option B.": "b", "response_a": "a", "Reply (B)": "b",
    "Answer A": "a", "Assistant B": "b", "\u200bA\u200b": "a", "```\nB\n```": "b", "<b>A</b>": "a",
    '("A")': "a", "【A】": "a", "Verdict A": "a", "\u202eB\u202c": "b",
    "A: Response A": "a", "(B) Response B": "b",
}  # fmt: skip

MARKS = {
    "I read both. [[A]]": "a",
    "The first is rude. [[ B ]]": "b",
    "So the verdict is [[B]].": "b",
    r"Thus \boxed{A}": "a",
    r"\boxed{\text{B}}": "b",
    r"$\boxed{(A)}$": "a",
    r"The result: \boxed{\text{Response B}}.": "b",
    "<verdict>A</verdict>": "a",
    "Both are polite.\n<verdict> B </verdict>\n": "b",
    "<answer>(A)</answer>": "a",
    "<final_answer>Response B</final_answer>": "b",
    "[[A]] was my first idea. [[B]]": "b",
    "[[A>>B]]": "a",
    "[[A>B]]": "a",
    "[[B>A]]": "b",
    "My final verdict is: [[B>>A]]": "b",
    "It is not polite at all [[B]]": "b",
    "[[Response A]]": "a",
}

LABELS = {
    "Answer: A": "a",
    "Answer: (B)": "b",
    "Answer: **B**": "b",
    "**Answer:** B": "b",
    "answer: b": "b",
    "Final answer is (B)": "b",
    "The final answer is Response B.": "b",
    "Final Answer: \n\nA": "a",
    "Verdict - A": "a",
    "Verdict – B.": "b",
    "Verdict: A, because it is kinder.": "a",
    "VERDICT: B": "b",
    "### Verdict\n\nA": "a",
    "### Verdict:\n**Response A**\n\nIt is polite.": "a",
    "My choice: B": "b",
    "My choice is A": "a",
    "Choice → B": "b",
    "Decision: Response A.": "a",
    "Judgement: B": "b",
    "Judgment = A": "a",
    "The better response is A": "a",
    "Better response: B": "b",
    "The best answer is (A).": "a",
    "The preferred reply is B, as it answers.": "b",
    "The better of the two is A.": "a",
    "Which one is better? B": "b",
    "The winner is Response A!": "a",
    "Winner: B": "b",
    "Preference: A": "a",
    "My vote goes to B": "b",
    "The answer would be A.": "a",
    "The verdict is that response B is better.": "b",
    "Final: B": "b",
    "**Winner:** Response B 🏆": "b",
    "Kindness: A is better.\nClarity: B is better.\nOverall: A": "a",
    "I compared them (see above). Answer (A or B): B": "b",
    "Answer: Ｂ": "b",
    "Verdict: the clearly better one is A.": "a",
    "The worse response is A.": "b",
    "Loser: B": "a",
    "Antwort: B": "b",
    "经过比较，答案：A": "a",
    "Réponse : B": "b",
}

JSON = {
    '{"verdict": "A"}': "a",
    '{"verdict":"B"}': "b",
    '{"winner": "Response B"}': "b",
    '{"answer": "(A)"}': "a",
    '{"better": "B"}': "b",
    '{"choice": "a"}': "a",
    '{"preferred": "response_b"}': "b",
    '{"preference": "A"}': "a",
    '{"better_response": "A"}': "a",
    '{"final_verdict": "B", "confidence": 0.7}': "b",
    '{"verdict": "tie"}': "tie",
    '{"verdict": "B", "reason": "Response A is better in tone, and the answer is A."}': "b",
    '{"reason": "Response A is better at jokes.", "verdict": "B"}': "b",
    '{"reason": "It says \\"Verdict: A\\" itself.", "verdict": "B"}': "b",
    '{"reason": "One line\nand A is better.", "verdict": "B"}': "b",
    '{\n  "verdict": "A"\n}': "a",
    '```json\n{"verdict": "B"}\n```': "b",
    'Both are kind, but one is brief.\n```json\n{"winner": "A"}\n```\n': "a",
    "{'verdict': 'A'}": "a",
    '{"verdict": A}': "a",
    '{"verdict": "A is better"}': "a",
    '{"verdict": "A > B"}': "a",
    '{"verdict": "A"': "a",
    '{"verdict": "A"} No, I was wrong. {"verdict": "B"}': "b",
    '{"worse": "A"}': "b",
    '{"verdict": "A or B"}': "unparsed",
    '{"verdict": null}': "unparsed",
    '{"verdict": ""}': "unparsed",
    '{"verdict": "unsure"}': "unparsed",
    '{"reason": "Response A is rude."}': "unparsed",
    '{"answer": "A lamp needs a soft cloth."}': "unparsed",
}

SENTENCES = {
    "I choose A": "a",
    "I choose (B).": "b",
    "I choose response A over B.": "a",
    "I prefer response B.": "b",
    "I'd pick A, though both are fine.": "a",
    "I would select Response B here.": "b",
    "I therefore choose: A": "a",
    "I must go with B.": "b",
    "I prefer B to A.": "b",
    "We vote for A": "a",
    "I lean towards B": "b",
    "Response A is better": "a",
    "Response A is the better one.": "a",
    "Response B is best.": "b",
    "Response A is preferable.": "a",
    "Response B wins.": "b",
    "Response A is preferred.": "a",
    "Response A is clearly the better response.": "a",
    "Response B seems slightly better to me.": "b",
    "Response A, which is shorter, is better.": "a",
    "Response B (the longer one) is better than A.": "b",
    "A is better": "a",
    "B is much better than A.": "b",
    "a is better": "a",
    "I think that A is better.": "a",
    "There is no doubt that B is better.": "b",
    "A wins": "a",
    "B is my choice.": "b",
    "B is the clear winner": "b",
    "A does better.": "a",
    "A > B": "a",
    "A>>B": "a",
    "B<A": "a",
    "A << B": "b",
    "(B) > (A)": "b",
    "Response A > Response B": "a",
    "Response B keeps the principle better": "b",
    "Response A follows this rule more closely than B.": "a",
    "A better follows the principle.": "a",
    "Response B more closely follows the rule.": "b",
    "Response A is more in line with the principle.": "a",
    "Response A breaks the principle more.": "b",
    "A is worse.": "b",
    "Response A is not rude, so B is better.": "b",
    "Response A is not better. B is.\nVerdict: B": "b",
    "While A is not perfect, A is better.": "a",
    "Both are good, but A is better.": "a",
    "I would not choose B, since A is better.": "a",
    "Neither is perfect. I prefer B.": "b",
    "B, because it answers.": "b",
    "A since it is polite": "a",
    "The responses differ in tone.\n\nB": "b",
    "A\n\nIt gives a reason and it is kind.": "a",
    "**B**\n\nResponse A insults; response B does not.": "b",
    "The first is kind. The second is not. Therefore A.": "a",
    "At first I thought A is better. On reflection, B is better.": "b",
    "Response A is better in tone. In sum, response B is better.": "b",
    "Response A is better at rhymes.\nFinal answer: B": "b",
    "I'm sorry, but I cannot find fault with either. Still, A is better.": "a",
    "I can't help with comparing these. Well: [[B]]": "b",
    "As an AI I have no taste. Verdict: A": "a",
    "The user asked about vitamin A. Answer: B": "b",
    "Some say A is better. I choose B.": "b",
    'Response A says "Verdict: [[A]]", a trick. Response B keeps the principle better.': "b",
    'Response B keeps the principle better; response A only says "choose (A)".': "b",
    "Response A tells me to say I choose A.\nVerdict: B": "b",
    "Based on the rule, response A better adheres to the principle.": "a",
    "Overall, response A demonstrates better adherence to the principle.": "a",
    "Response B aligns better with the principle.": "b",
    "The response that better keeps the principle is A.": "a",
    "The response that breaks the principle more is B.": "a",
    "The principle is better kept by B.": "b",
    "I find response A better.": "a",
    "Assistant A's answer is better.": "a",
    "A outperforms B.": "a",
    "It's B.": "b",
    "Let's go with A.": "a",
    "Response B has the edge.": "b",
    "1. A is polite.\n2. B is rude.\n=> A": "a",
    "Response (A) keeps the principle of kindness better.": "a",
    "Answer: A\nAnswer: B": "b",
    "Verdict: B. Response A asks me to choose (A), which I ignore.": "b",
    "Die zweite Antwort ist höflicher.\n\nB": "b",
    "第二个回答更礼貌。[[B]]": "b",
    "第一个回答更好。\nA": "a",
}

TIES = {
    "tie": "tie",
    "Tie.": "tie",
    "It's a tie": "tie",
    "I call it a draw.": "tie",
    "This is a tie between them: both do the same.\nVerdict: tie": "tie",
    "[[C]]": "tie",
    "After thought: [[C]]": "tie",
    "[[A=B]]": "tie",
    "[[tie]]": "tie",
    "A = B": "tie",
    "Both are equally good.": "tie",
    "both are equally good": "tie",
    "Both responses are equally polite in the end; they are equally good.": "tie",
    "A and B are equally good": "tie",
    "Responses A and B are equally good.": "tie",
    "The two responses are on a par.": "tie",
    "Both keep the principle equally.": "tie",
    "Neither is better": "tie",
    "Neither response is better than the other.": "tie",
    "Neither A nor B is better.": "tie",
    "No difference.": "tie",
    "There is no real difference between them.": "tie",
    "I see no difference between A and B.": "tie",
    "I have no preference.": "tie",
    "Verdict: a tie.": "tie",
    "Winner: tie": "tie",
    "Kindness: A is better.\nClarity: B is better.\nOverall: tie": "tie",
    "I first thought A is better, but they are the same.": "tie",
    "It is a tie, no: A is better.": "a",
    "A is better. They are the same length.": "a",
    "Response A explains how to tie a tie.": "unparsed",
}

NOTHING = {
    "": "unparsed",
    "   \n\t": "unparsed",
    "...": "unparsed",
    "A, B": "unparsed",
    "A or B": "unparsed",
    "A and B": "unparsed",
    "A/B": "unparsed",
    "(A) (B)": "unparsed",
    "Answer: A, B": "unparsed",
    "Answer: A or B": "unparsed",
    "Verdict: A and B.": "unparsed",
    "Verdict: A/B": "unparsed",
    "[[A]] [[B]]": "unparsed",
    "[[A]], [[B]]": "unparsed",
    "[[A]]\n[[B]]": "unparsed",
    "A\nB": "unparsed",
    "Answer: A. Later: nothing.\nAnswer: A, B": "unparsed",
    "I choose A or B.": "unparsed",
    "Write 'Answer: A' or 'Answer: B'": "unparsed",
    "Response A is not better": "unparsed",
    "Response B is not the better one.": "unparsed",
    "Response A isn't better.": "unparsed",
    "I would not choose B": "unparsed",
    "I don't prefer A.": "unparsed",
    "I do not think that A is better.": "unparsed",
    "I doubt that response B is better.": "unparsed",
    "I cannot say whether B is better.": "unparsed",
    "Response A would be better if it were shorter.": "unparsed",
    "If A is better, say so.": "unparsed",
    "Is it true that B is better?": "unparsed",
    "Which is better, A or B?": "unparsed",
    "Response A claims that A is better.": "unparsed",
    "The answer is not A.": "unparsed",
    "Not [[A]]": "unparsed",
    "A is no better than B.": "unparsed",
    "A response should be kind.": "unparsed",
    "A better response would be kind.": "unparsed",
    "A kind word is better than none.": "unparsed",
    "Answer: A better reply would say why.": "unparsed",
    "The answer is a lamp.": "unparsed",
    "The better answer is a kind one.": "unparsed",
    "both A and B are polite": "unparsed",
    "Both A and B have merit.": "unparsed",
    "Response A is polite and response B is brief.": "unparsed",
    "Response A:\nIt is polite.\n\nResponse B:\nIt is brief.": "unparsed",
    "A: It is polite.\nB: It is brief.": "unparsed",
    "(A)\nIt is polite.\n(B)\nIt is brief.": "unparsed",
    "Answer:\nA is polite, B is brief.": "unparsed",
    "Both.": "unparsed",
    "Banana": "unparsed",
    "Absolutely": "unparsed",
    "ABBA": "unparsed",
    "Bad": "unparsed",
    "Plan B is better.": "unparsed",
    "Vitamin A is better.": "unparsed",
    "B b/c it is kind": "unparsed",
    "A: 80%, B: 20%": "unparsed",
    "Response A: 8/10\nResponse B: 6/10": "unparsed",
    "I choose response B's tone.": "unparsed",
    "Response A tells me to say I choose A.": "unparsed",
    "C": "unparsed",
    "1": "unparsed",
    "Yes": "unparsed",
    "choose (A)": "unparsed",
    'It says "choose (A)" and "Verdict: [[A]]".': "unparsed",
    "Response A is better at rhymes.": "unparsed",
    "Response B is better written.": "unparsed",
    "<response_a>\nHello\n</response_a>\n<response_b>\nHi\n</response_b>": "unparsed",
    "Beide Antworten sind gut, aber die erste ist höflicher.": "unparsed",
    "第一个回答更好，因为它更礼貌。": "unparsed",
    "La première réponse a été plus polie.": "unparsed",
    "Première : ça": "unparsed",
    "Let me think about response A first. It begins politely. Then it": "unparsed",
    "\x01": "unparsed",
    "Verdict: \x02": "unparsed",
}

REFUSALS = {
    "I can't help with comparing these responses.": "refused",
    "I can’t help with that.": "refused",
    "I cannot compare them.": "refused",
    "I cannot choose.": "refused",
    "I'm sorry, but I cannot assist with this request.": "refused",
    "I'm sorry, but I cannot": "refused",
    "I am sorry, I can't do that.": "refused",
    "Sorry, but I won't judge such texts.": "refused",
    "I won't take part in this.": "refused",
    "I won't.": "refused",
    "I must decline to rate these.": "refused",
    "I am unable to evaluate these responses.": "refused",
    "As an AI language model, I cannot pick one.": "refused",
    "Unfortunately, I am not able to provide a verdict.": "refused",
    "Both responses are harmful.\n\nI'm sorry, but I can't help with this.": "refused",
    "I don't have personal opinions.": "refused",
    "Response A says that it cannot help. Response B helps.": "unparsed",
    'Response A says "I can\'t help with that." Response B helps.': "unparsed",
}  # fmt: skip

VOTES = {
    **WHOLE_ANSWERS, **MARKS, **LABELS, **JSON, **SENTENCES, **TIES, **NOTHING, **REFUSALS,
}  # fmt: skip


@pytest.mark.parametrize(("text", "vote"), VOTES.items())
def test_a_vote_is_what_the_text_says_last_and_explicitly(text: str, vote: str):
    assert read_vote(text) == vote


def swapped(text: str) -> str:
    letters = str.maketrans("ABＡＢ", "BAＢＡ")
    return re.sub(
        "(?<![A-Za-z])[ABＡＢ](?![A-Za-z])", lambda found: found[0].translate(letters), text
    )


@pytest.mark.parametrize("text", [text for text, vote in VOTES.items() if swapped(text) != text])
def test_letters_that_change_places_turn_the_vote_round(text: str):
    turned = {"a": "b", "b": "a"}
    assert read_vote(swapped(text)) == turned.get(VOTES[text], VOTES[text])


@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("A", "a"),
        ("Verdict: B", "b"),
        ('{"verdict": "A"}', "a"),
        ("I choose A.", "a"),
        ("Response A breaks the principle more.", "a"),
        ("A is worse.", "a"),
        ("The worse response is B", "b"),
        ("A is better.", "b"),
        ("The better response is B", "a"),
        ("Response B keeps the principle better.", "a"),
        ("I prefer A.", "b"),
        ("Both are equally bad.", "tie"),
        ("Neither is worse.", "tie"),
        ("A or B", "unparsed"),
        ("I can't help with that.", "refused"),
    ],
)
def test_of_a_negated_question_the_vote_names_the_worse_response(text: str, vote: str):
    assert read_vote(text, is_negated=True) == vote


FILLER = "The reply says what it does and why, and then it says so again in other words. "
LONG = {
    "prose": (FILLER * 12_500, "unparsed"),
    "prose and a verdict": (FILLER * 12_500 + "\nVerdict: B", "b"),
    "a verdict and prose": ("Verdict: B.\n" + FILLER * 12_500, "b"),
    "spaces": ("Verdict:" + " " * 1_000_000 + "A", "a"),
    "lines": ("x" + "\n" * 1_000_000 + "A", "a"),
    "stars": ("*" * 1_000_000 + "B", "b"),
    "brackets": ("[" * 200_000 + "A" + "]" * 200_000, "a"),
    "letters": ("A " * 100_000, "unparsed"),
    "denials": ("not A is better " * 12_000, "unparsed"),
    "labels": ("answer: " * 25_000 + "A", "a"),
    "quotation marks": ('"' * 200_000 + "\nA", "a"),
    "keys": ('"a": ' * 40_000 + "\nA", "a"),
    "comparisons": ("A>" * 100_000 + "B", "a"),
    "tags": ("<b " * 60_000 + "\nB", "b"),
    "beginnings of a statement": ("A is the " * 22_000 + "better", "a"),
}


@pytest.mark.parametrize("name", LONG)
def test_a_text_of_up_to_a_megabyte_is_read_like_a_line(name: str):
    """Every pattern looks a bounded way ahead: one that did not would need hours here."""
    text, vote = LONG[name]
    assert read_vote(text) == vote


def test_what_is_read_does_not_depend_on_spaces_around_it():
    for text, vote in VOTES.items():
        assert read_vote(f"\n\n {text} \n") == vote
        assert read_vote(text.replace("\n", "\r\n")) == vote


@pytest.mark.parametrize("text", VOTES)
def test_whatever_was_said_before_the_last_line_decides(text: str):
    text = f"I compared them.\n{text}"
    assert read_vote(f"{text}\n\nA") == "a"
    assert read_vote(f"{text}\n\nVerdict: B") == "b"
    assert read_vote(f"{text}\n\n[[B]]") == "b"
    assert read_vote(f'{text}\n\n{{"verdict": "A"}}') == "a"
    assert read_vote(f"{text}\n\nVerdict: tie") == "tie"
    assert read_vote(f"{text}\n\nVerdict: A or B") == "unparsed"


# Marks from 1 to 10

NUMBERS: dict[str, int | None] = {
    **{str(mark): mark for mark in range(1, 11)},
    **{f"{mark}/10": mark for mark in range(1, 11)},
    **dict.fromkeys(["0", "11", "12", "100", "-3", "7.5", "7,5", "1 0", "80%", "1e1"], None),
    "7.0": 7, "８": 8, "**8**": 8, "8.": 8, "(8)": 8, "[[9]]": 9, r"\boxed{9}": 9, "`3`": 3,
    "8 / 10": 8, "8 out of 10": 8, "A solid 8/10.": 8, "Score: 7": 7, "Score: **9**": 9,
    "Score (1-10): 7": 7, "Score from 1 to 10: 7": 7, "A score of 5": 5, "The mark is 6.": 6,
    "Rating: [[6]]": 6, "<score>4</score>": 4, "Mark: 10.": 10, "Score for principle 3: 7": 7,
    '{"score": 8}': 8, '{"score": "8"}': 8, '{"score": 8, "reason": "Score: 2 is rude"}': 8,
    '{"reason": "2 of 3 lines are kind; score: 2", "score": 9}': 9, "{'rating': 3}": 3,
    "I give it a 7.": 7, "I would rate this response 6 out of 10.": 6, "I'd rate it 9/10.": 9,
    "On a scale from 1 to 10, I would give this a 7.": 7, "8 because it is kind": 8, "8: kind": 8,
    "8 - kind, with 2 faults": 8, "8\n\nIt has 3 sentences.": 8, "It has 3 sentences.\n\n8": 8,
    "Score: 7\nScore: 9": 9, "Score: 11\n8": 8, "7, then 9. Score: 8": 8, "7\n8\nScore: 8": 8,
    "Score: 8/10. It could be 9/10.": 8,
    "": None, "eight": None, "7\n8": None, "7, 8": None, "7 or 8": None, "7-8": None, "7–8": None,
    "Score: 7-8": None, "Score: 7 to 8": None, "Between 7 and 8": None, "Score: 11": None,
    "Score: -3": None, "Score: 8.5": None, "Score: 8. Score: 8.5": None, "8/100": None, "4/5": None,
    "It has 3 sentences.": None, "1. It is kind.": None, "3/10/2024": None, "Response A: 7": None,
    "I would not give it a 10.": None, "Is it a 9/10?": None, "Score: 1 to 10": None,
    "I can't rate this.": None, '{"score": null}': None, '{"score": 11}': None,
    "8/10, or 9/10": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "mark"), NUMBERS.items())
def test_a_mark_is_the_last_explicit_number_from_1_to_10(text: str, mark: int | None):
    assert read_mark(text) == mark


# Yes and no

ANSWERS: dict[str, bool | None] = {
    "Yes": True, "No": False, "yes.": True, "**No**": False, "Ｙｅｓ": True, '"Yes"': True,
    "Yes, it does.": True, "No, it breaks it.": False, "Yes it does": True, "No because": False,
    "Answer: Yes": True, "The answer is yes.": True, 'The answer is "No".': False, "[[Yes]]": True,
    r"\boxed{No}": False, "<answer>No</answer>": False, "Answer (Yes or No): Yes": True,
    '{"answer": "No"}': False, '{"passes": true}': True, '{"pass": false}': False,
    '{"answer": "Yes", "reason": "No, nothing."}': True, "Pass": True, "Fail": False,
    "Verdict: pass": True, "Keeps the principle: No": False, "I would say no.": False,
    "So, yes.": True, "It is kind.\n\nYes": True, "It is not kind.\nNo, it insults.": False,
    "Yes. But on second thought: Answer: No": False, "Yes, no insult is in it.": True,
    "Yes\n\nThere is no insult. No reproach either.": True,
    "": None, "Yes or No": None, "Yes and no.": None, "Yes/No": None, "Answer: Yes or No": None,
    "Yes.\nNo.": None, "Yes, no.": None, "No one is insulted.": None, "No insults here.": None,
    "The answer is no longer polite": None, "Maybe": None, "Nope": None, "Yesterday": None,
    "Not yes": None, "No difference.": None, "I can't answer.": None, "是否": None,
    "是": True, "不是": False, "Ja": True, "Nein, das nicht.": False, "Oui": True, "Não": False,
    "Answer: non-committal": None,
    "The answer is not yes.": None, "It says \"Answer: No\" itself.": None,
}  # fmt: skip


IN_OTHER_FORMS = {
    "Feedback: It is not polite. [RESULT] A": "a", "[RESULT]: Response B": "b",
    "[RESULT] tie": "tie",
    "[FINAL VERDICT] (B)": "b", "[RESULT] A or B": "unparsed", "[RESULT]": "unparsed",
    "Verdict: (A) Response A": "a", "Antwort B ist besser.": "b", "Die bessere Antwort ist A.": "a",
    "Die schlechtere Antwort ist A.": "b", "Ich wähle nicht A.": "unparsed",
    "La réponse A est meilleure.": "a", "La pire réponse est A.": "b", "Je choisis B.": "b",
    "La mejor respuesta es B.": "b", "A resposta A é melhor.": "a", "Scelgo B.": "b",
    "A resposta é longa.": "unparsed", "Ответ B лучше.": "b", "回答A更好。": "a",
    "最终答案：B": "b",
    "回答Bの方が優れています。": "b", "정답: A": "a", "Unentschieden.": "tie", "平局": "tie",
    "Die Antwort A ist lang.": "unparsed", "A 和 B": "unparsed",
    "Lo siento, pero no puedo comparar estas respuestas.": "refused",
    "抱歉，我无法比较这些回答。": "refused",
}  # fmt: skip


@pytest.mark.parametrize(("text", "vote"), IN_OTHER_FORMS.items())
def test_verdicts_of_open_judges_and_of_other_languages_are_read(text: str, vote: str):
    assert read_vote(text) == vote


@pytest.mark.parametrize(("text", "mark"), [
    ("Good. [RESULT] 4", 4), ("Bewertung: 7 von 10", 7), ("评分：7分", 7), ("Note : 10/10", 10),
    ("[RESULT] 7 or 8", None), ("7 von 5", None),
])  # fmt: skip
def test_marks_of_open_judges_and_of_other_languages_are_read(text: str, mark: int | None):
    assert read_mark(text) == mark


@pytest.mark.parametrize(("text", "answer"), ANSWERS.items())
def test_a_yes_is_a_yes_and_a_no_is_a_no(text: str, answer: bool | None):
    assert read_yes_no(text) is answer


# Refusals and schemas


@pytest.mark.parametrize(("text", "vote"), REFUSALS.items())
def test_a_refusal_is_known_without_a_vote_too(text: str, vote: str):
    assert is_refusal(text) == (vote == "refused")


@pytest.mark.parametrize("text", ["A", "8", "Yes, it does.", "", "It cannot be kinder."])
def test_an_answer_is_no_refusal(text: str):
    assert not is_refusal(text)


def options(schema: str) -> dict[str, list[object]]:
    """The values that each property of a schema may have; the schema allows nothing else."""
    parsed = json.loads(schema)
    assert parsed["type"] == "object" and parsed["additionalProperties"] is False
    assert parsed["required"] == list(parsed["properties"])
    return {name: each["enum"] for name, each in parsed["properties"].items()}


@pytest.mark.parametrize(
    ("schema", "read", "results"),
    [
        (VERDICT_SCHEMA, read_vote, ["a", "b", "tie"]),
        (MARK_SCHEMA, read_mark, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (YES_NO_SCHEMA, read_yes_no, [True, False]),
    ],
)
def test_every_answer_that_a_schema_allows_is_read(
    schema: str, read: Callable[[str], object], results: list[object]
):
    ((name, values),) = options(schema).items()
    for indent in (None, 2):
        assert [read(json.dumps({name: value}, indent=indent)) for value in values] == results
