"""Equal units, and a first pass over all units, for what cannot be decided one unit at a time.

The `Survey` balances lengths and detects responses that are labelled good in one place and bad in
another. It stores a few numbers a unit and no text.

Example:
    survey = Survey(n_runs=1)
    survey.add(0, position=17, unit=pair, is_near=False)    # first pass, each unit
    survey.balance_lengths()
    survey.is_exported(0, position=17)                      # second pass, each unit again
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal

import numpy as np

from cai.export.rows import Labelled, PreferencePair, Unit, labelled, prompt_of
from cai.types import Prompt, as_dicts

Fate = Literal["exported", "near-duplicate", "unbalanced length"]
_FATES: tuple[Fate, ...] = ("exported", "near-duplicate", "unbalanced length")

_GOOD, _BAD, _WRITTEN = 1, 2, 4  # bits: a response may be labelled both good and bad


class Survey:
    """The results of a first pass over the units of `n_runs` runs."""

    def __init__(self, n_runs: int) -> None:
        # Columns of numbers, not objects: millions of units take some 60 bytes each. An entry is
        # the index of a unit in the columns.
        self._positions = [array("q") for _ in range(n_runs)]
        self._entries = [array("q") for _ in range(n_runs)]
        self._next = [0] * n_runs
        self._fates = bytearray()
        self._length_signs = array("b")
        self._probabilities = array("d")
        self._tie_breakers = array("q")
        self._good = array("q")
        self._bad = array("q")
        self._labels: dict[int, int] = {}

    def add(self, run: int, position: int, unit: Unit, *, is_near: bool) -> None:
        """Adds a unit of the example at that position of the run."""
        self._positions[run].append(position)
        self._entries[run].append(len(self._fates))
        self._fates.append(_FATES.index("near-duplicate" if is_near else "exported"))
        good = bad = tie_breaker = sign = 0
        probability = -1.0
        for each in labelled(unit):
            key = response_key(unit, each.completion)
            good, bad = (key, bad) if each.label else (good, key)
        if isinstance(unit, PreferencePair):
            n_chosen, n_rejected = len(unit.chosen), len(unit.rejected)
            sign = (n_chosen > n_rejected) - (n_chosen < n_rejected)
            tie_breaker = good ^ bad
            if unit.chosen_probability is not None:
                probability = unit.chosen_probability
        self._length_signs.append(sign)
        self._probabilities.append(probability)
        self._tie_breakers.append(tie_breaker)
        self._good.append(good)
        self._bad.append(bad)

    def balance_lengths(self) -> None:
        """Drops the least confident pairs of the commoner sign until both signs are as common.

        The sign says whether the chosen response is the longer or the shorter one. Pairs without a
        probability are the least confident; ties are ordered by a hash of their content. Sides of
        equal length have no sign.
        """
        signs, is_exported = np.array(self._length_signs), np.array(self._fates) == 0
        longer = np.flatnonzero(is_exported & (signs > 0))
        shorter = np.flatnonzero(is_exported & (signs < 0))
        many, few = (longer, shorter) if len(longer) > len(shorter) else (shorter, longer)
        tie_breakers, probabilities = np.array(self._tie_breakers), np.array(self._probabilities)
        # lexsort takes its last key as the first one to sort by.
        order = np.lexsort((tie_breakers[many], probabilities[many]))
        for entry in many[order[: len(many) - len(few)]]:
            self._fates[entry] = _FATES.index("unbalanced length")

    def collect_labels(self) -> None:
        """Stores, for the units that are exported, which responses are good and which bad."""
        for entry, fate in enumerate(self._fates):
            if not fate:
                for key, label in ((self._good[entry], _GOOD), (self._bad[entry], _BAD)):
                    if key:
                        self._labels[key] = self._labels.get(key, 0) | label

    @property
    def n_left_out(self) -> Counter[str]:
        """How many units are left out, by reason."""
        counts = {fate: self._fates.count(code) for code, fate in enumerate(_FATES) if code}
        return +Counter[str](counts)

    def is_exported(self, run: int, position: int) -> bool:
        """Whether the next unit of the second pass is written; called once for each, in order."""
        # A run may be written while it is exported. Examples that are finished after the first pass
        # are not in the export, so positions that the survey lacks are skipped, on either side.
        positions = self._positions[run]
        while self._next[run] < len(positions) and positions[self._next[run]] < position:
            self._next[run] += 1
        index = self._next[run]
        if index == len(positions) or positions[index] != position:
            return False
        self._next[run] += 1
        return not self._fates[self._entries[run][index]]

    def reason_not_to_write(self, key: int) -> str | None:
        """Why a response of that key is not written with its label; None once for each key."""
        labels = self._labels[key]
        if labels & _GOOD and labels & _BAD:
            return "good and bad"
        if labels & _WRITTEN:
            return "repeated"
        self._labels[key] = labels | _WRITTEN
        return None


def response_key(unit: Unit, response: str) -> int:
    """A 64-bit hash of this response to this conversation; never 0."""
    text = json.dumps([as_dicts(prompt_of(unit).messages), response.strip()])
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"cai-response").digest()
    return int.from_bytes(digest, "big", signed=True) or 1


def unit_key(unit: Unit) -> int:
    """A 64-bit hash of the conversation and the responses, without the label.

    A pair and the same one with its sides exchanged are different preferences, and differ.
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

    A response that is labelled both good and bad is dropped; what is left out is counted.
    """
    labels: dict[int, bool] = {}
    contradictory: set[int] = set()
    for unit in units:
        key, label = unit_key(unit), not isinstance(unit, Labelled) or unit.label
        if key in taken or labels.get(key) == label:
            left_out["repeated"] += 1
        elif key in labels:
            contradictory.add(key)
            left_out["good and bad"] += 1
        else:
            labels[key] = label
    if contradictory:
        # So far only the second of each was counted.
        left_out["good and bad"] += len(contradictory)
    return [key for key in labels if key not in contradictory]
