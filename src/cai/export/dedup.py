"""A first pass over units, for what cannot be decided one unit at a time.

It keeps a few numbers a unit and no text. A run may be written while it is exported: examples that
are finished after this pass are not in the export, and the second pass passes over them.

Texts that are nearly those of an earlier example, by MinHash.

Broder 1997, "On the resemblance and containment of documents": the likeness of two texts is the
share of word triples that they have in common, estimated from 128 minima (± 0.04). Candidates come
from locality-sensitive hashing; each is then compared by its minima, so that a text which only
fell into the same bucket stays.

Which units have the same content, by a number for each.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# datasketch has half of its types: what is unknown stays in this file

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

from cai.export.rows import Labelled, PreferencePair, Unit, labelled, prompt_of
from cai.types import Prompt, as_dicts

Fate = Literal["kept", "near-duplicate", "unbalanced length"]
_FATES: tuple[Fate, ...] = ("kept", "near-duplicate", "unbalanced length")

_GOOD, _BAD, _WRITTEN = 1, 2, 4


class Survey:
    """What the first pass found of `n_runs` runs."""

    def __init__(self, n_runs: int) -> None:
        self._positions = [array("q") for _ in range(n_runs)]
        self._entries = [array("q") for _ in range(n_runs)]
        self._next = [0] * n_runs
        self._fates = bytearray()
        self._leanings = array("b")
        self._sureness = array("d")
        self._draws = array("q")
        self._good = array("q")
        self._bad = array("q")
        self._labels: dict[int, int] = {}

    def add(self, run: int, position: int, unit: Unit, *, is_near: bool) -> None:
        """Takes a unit of the example at that position of the run."""
        self._positions[run].append(position)
        self._entries[run].append(len(self._fates))
        self._fates.append(_FATES.index("near-duplicate" if is_near else "kept"))
        good = bad = draw = leaning = 0
        sureness = -1.0
        for each in labelled(unit):
            key = response_key(unit, each.completion)
            good, bad = (key, bad) if each.label else (good, key)
        if isinstance(unit, PreferencePair):
            leaning = _sign(len(unit.chosen) - len(unit.rejected))
            draw = good ^ bad
            if unit.chosen_probability is not None:
                sureness = unit.chosen_probability
        self._leanings.append(leaning)
        self._sureness.append(sureness)
        self._draws.append(draw)
        self._good.append(good)
        self._bad.append(bad)

    def balance(self) -> None:
        """Marks the least sure of those that lean the commoner way, until as many lean either way.

        Pairs without a probability are the least sure; equally sure ones go in an order drawn by
        their content. Sides of equal length lean no way.
        """
        import numpy as np

        leanings, is_kept = np.array(self._leanings), np.array(self._fates) == 0
        longer = np.flatnonzero(is_kept & (leanings > 0))
        shorter = np.flatnonzero(is_kept & (leanings < 0))
        many, few = (longer, shorter) if len(longer) > len(shorter) else (shorter, longer)
        draws, sureness = np.array(self._draws), np.array(self._sureness)
        order = np.lexsort((draws[many], sureness[many]))
        for entry in many[order[: len(many) - len(few)]]:
            self._fates[entry] = _FATES.index("unbalanced length")

    def note_labels(self) -> None:
        """Gathers, of the kept units, which responses are called good and which bad."""
        for entry, fate in enumerate(self._fates):
            if not fate:
                for key, label in ((self._good[entry], _GOOD), (self._bad[entry], _BAD)):
                    if key:
                        self._labels[key] = self._labels.get(key, 0) | label

    @property
    def n_left_out(self) -> Counter[str]:
        """How many units are left out, by reason; those that stay are not among them."""
        counts = {fate: self._fates.count(code) for code, fate in enumerate(_FATES) if code}
        return +Counter[str](counts)

    def is_kept(self, run: int, position: int) -> bool:
        """Whether the next unit of the second pass is written; asked once for each, in order."""
        positions = self._positions[run]
        while self._next[run] < len(positions) and positions[self._next[run]] < position:
            self._next[run] += 1
        place = self._next[run]
        if place == len(positions) or positions[place] != position:
            return False
        self._next[run] += 1
        return not self._fates[self._entries[run][place]]

    def reason_not_to_write(self, key: int) -> str | None:
        """Why a response of that key is not written with its label; None once for each key."""
        found = self._labels[key]
        if found & _GOOD and found & _BAD:
            return "good and bad"
        if found & _WRITTEN:
            return "repeated"
        self._labels[key] = found | _WRITTEN
        return None


def response_key(unit: Unit, response: str) -> int:
    """A number that only this response to this conversation has; never 0."""
    text = json.dumps([as_dicts(prompt_of(unit).messages), response.strip()])
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"cai-response").digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)


_MINIMA = 128
_SHINGLE_WORDS = 3
_WEIGHTS = (0.05, 0.95)  # few are missed; the many false candidates are compared anyway


class NearDuplicates:
    """Remembers the texts that stay, with about 7 kB each."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._index = MinHashLSH(threshold, num_perm=_MINIMA, weights=_WEIGHTS)
        self._minima: list[NDArray[np.unsignedinteger]] = []
        self._examples = array("q")

    def is_near(self, text: str, example: int) -> bool:
        """Whether a text of an earlier example that stayed is as like this one as the threshold.

        Texts of one example are not compared with each other. A text that is not near stays.
        """
        sketch = MinHash(num_perm=_MINIMA)
        sketch.update_batch(_shingles(text))
        minima = np.array(sketch.hashvalues)
        for found in self._index.query(sketch):
            assert isinstance(found, int)
            if self._examples[found] != example and self._likeness(found, minima):
                return True
        self._index.insert(len(self._minima), sketch, check_duplication=False)
        self._minima.append(minima)
        self._examples.append(example)
        return False

    def _likeness(self, found: int, minima: NDArray[np.unsignedinteger]) -> bool:
        return float(np.mean(self._minima[found] == minima)) >= self._threshold


def _shingles(text: str) -> set[bytes]:
    """The text's word triples in small letters; of a shorter text, all of its words as one."""
    words = text.lower().encode("utf-8", "replace").split()
    last = max(1, len(words) - _SHINGLE_WORDS + 1)
    return {b" ".join(words[start : start + _SHINGLE_WORDS]) for start in range(last)}


def unit_key(unit: Unit) -> int:
    """A number that only units of this conversation and these responses have, whatever the label.

    A pair and the same one with its sides exchanged are of different opinions, and differ.
    """
    match unit:
        case Prompt():
            texts = []
        case PreferencePair():
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
