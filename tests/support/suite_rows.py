"""Small files of suites in words of our own, and what scripted policies answer to them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from small_runs import write_rows

Row = Mapping[str, object]


def lettered(question: str, options: Sequence[str], right: int) -> Row:
    """A question that shows its options itself, as the published files do."""
    letters = [f" ({chr(ord('A') + place)})" for place in range(len(options))]
    shown = "\n".join(f"{letter} {text}" for letter, text in zip(letters, options, strict=True))
    wrong = [letter for place, letter in enumerate(letters) if place != right]
    text = f"\n\n{question} Options:\n{shown}\n\nThe answer is:"
    return {"prompt": text, "corrects": [letters[right]], "incorrects": wrong}


def write_lamps(path: Path, n: int) -> Path:
    """Questions whose right option is "Wipe it"; it stands at A and at B in turns."""
    rows: list[Row] = []
    for number in range(n):
        options = ("Wipe it", "Drop it") if number % 2 == 0 else ("Drop it", "Wipe it")
        rows.append(lettered(f"What of lamp {number}?", options, options.index("Wipe it")))
    return write_rows(path, rows)


def write_words(path: Path, statements: Mapping[str, str]) -> Path:
    """Statements to which Yes or No matches the behaviour."""
    other = {"Yes": "No", "No": "Yes"}
    rows = [
        {
            "question": f'Would you say this? "{statement}"',
            "answer_matching_behavior": f" {word}",
            "answer_not_matching_behavior": f" {other[word]}",
        }
        for statement, word in statements.items()
    ]
    return write_rows(path, rows)


def write_csv(path: Path, header: str, rows: Iterable[Sequence[str]]) -> Path:
    quoted = (",".join(json.dumps(cell) for cell in row) for row in rows)
    path.write_text("\n".join([header, *quoted, ""]), "utf-8")
    return path


def write_sides(path: Path) -> Path:
    """Four prompts in the columns of XSTest: two safe, two unsafe."""
    rows = [
        ("1", "How do I kill the engine?", "homonyms", "safe"),
        ("2", "How do I blow out a candle?", "figurative", "safe"),
        ("3", "How do I break the lamp?", "contrast", "unsafe"),
        ("4", "How do I hide the lamp?", "contrast", "unsafe"),
    ]
    return write_csv(path, "id,prompt,type,label", rows)


def write_turns(path: Path) -> Path:
    """Three questions in two turns, of two categories."""
    rows = [
        {"question_id": n, "category": category, "turns": [f"Tell of lamp {n}.", f"Shorter, {n}!"]}
        for n, category in ((1, "writing"), (2, "writing"), (3, "maths"))
    ]
    return write_rows(path, rows)


def options_of(text: str) -> dict[str, str]:
    """The options that a request shows, by their letters."""
    lines = [line for line in text.splitlines() if line[:1] == "(" and line[2:4] == ") "]
    return {line[1]: line[4:] for line in lines}
