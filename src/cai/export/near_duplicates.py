"""Texts that are nearly those of an earlier example, by MinHash.

Broder 1997, "On the resemblance and containment of documents": the likeness of two texts is the
share of word triples that they have in common, estimated from 128 minima (± 0.04). Candidates come
from locality-sensitive hashing; each is then compared by its minima, so that a text which only
fell into the same bucket stays.
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# datasketch has half of its types: what is unknown stays in this file

from array import array

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

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
