"""Changed constitutions: each is read as it says, or refused in a sentence."""

import random
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import yaml
from harness import Attempt, Silent, mutated

from cai.constitution.loader import load_constitution
from cai.constitution.schema import Constitution

FOLDER = Path(__file__).parents[2] / "constitutions"


@contextmanager
def attempts(folder: Path) -> Generator[Attempt]:
    originals = [path.read_bytes() for path in sorted(FOLDER.glob("*.yaml"))]

    def attempt(chance: random.Random, _: int) -> str:
        path = folder / "changed.yaml"
        content = mutated(chance, chance.choice(originals))
        path.write_bytes(content)
        loaded = load_constitution(path)
        if load_constitution(path).hash != loaded.hash:
            raise Silent("read twice, it is two constitutions")
        _compare(loaded, content)
        return "accepted"

    yield attempt


def _compare(loaded: Constitution, content: bytes) -> None:
    """Checks texts against another reader of YAML, where that one reads texts too."""
    try:
        other = yaml.safe_load(content.decode("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):
        return
    texts = {principle.id: principle.text for principle in loaded.principles}
    for each in other.get("principles", ()):
        id, text = each.get("id"), each.get("text")
        is_known = isinstance(id, str) and isinstance(text, str) and id in texts
        if is_known and texts[id].split() != text.split():
            raise Silent(f"the text of {id} is {texts[id]!r}, and in the file {text!r}")
