"""Which units have the same content, by a number for each."""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable

from cai.export.units import Labelled, Pair, Unit, prompt_of
from cai.types import Prompt, as_dicts


def unit_key(unit: Unit) -> int:
    """A number that only units of this conversation and these responses have, whatever the label.

    A pair and the same one with its sides exchanged are of different opinions, and differ.
    """
    match unit:
        case Prompt():
            texts = []
        case Pair():
            texts = [unit.chosen.strip(), unit.rejected.strip()]
        case _:
            texts = [unit.completion.strip()]
    text = json.dumps([as_dicts(prompt_of(unit).messages), *texts])
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"cai-unit").digest()
    return int.from_bytes(digest, "big")


def distinct(units: Iterable[Unit], taken: Collection[int], left_out: Counter[str]) -> list[int]:
    """The keys of the units, each once and in their order, without those that are taken.

    A response that is labelled good and labelled bad is none of them. What is left out is counted.
    """
    labels: dict[int, bool] = {}
    contrary: set[int] = set()
    for unit in units:
        key, label = unit_key(unit), not isinstance(unit, Labelled) or unit.label
        if key in taken or labels.get(key) == label:
            left_out["repeated"] += 1
        elif key in labels:
            contrary.add(key)
            left_out["good and bad"] += 1
        else:
            labels[key] = label
    if contrary:
        left_out["good and bad"] += len(contrary)
    return [key for key in labels if key not in contrary]
