"""Changed template sets: they render within their limits, or are refused in a sentence."""

import random
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from harness import Attempt, Silent, mutated

from cai.templates import load_templates, prompts_folder
from cai.types import Message

MARK = "zq-request-qz"


@contextmanager
def attempts(folder: Path) -> Generator[Attempt]:
    def attempt(chance: random.Random, _: int) -> str:
        name = chance.choice(("chat", "transcript"))
        copy = folder / "set"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(prompts_folder() / name, copy)
        path = chance.choice(sorted(path for path in copy.iterdir() if path.is_file()))
        path.write_bytes(mutated(chance, path.read_bytes()))
        templates = load_templates(copy)
        templates.check()
        rendered = templates.render("respond", {"request": MARK})
        if load_templates(copy).render("respond", {"request": MARK}) != rendered:
            raise Silent("rendered twice, it is two texts")
        templates.request([Message("user", MARK)])
        return "accepted"

    yield attempt
