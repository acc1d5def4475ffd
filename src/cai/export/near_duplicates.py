"""Texts that are nearly those of an earlier example, by MinHash.

Broder 1997, "On the resemblance and containment of documents": the similarity of two texts is the
share of word triples that they have in common, estimated from 128 minima (± 0.04). Candidates come
from locality-sensitive hashing.

Example:
    near = NearDuplicates(threshold=0.8)
    near.is_near_duplicate(text, example=0)             # False; the text is now in the index
    near.is_near_duplicate(f" {text} ", example=1)      # True
"""

# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# datasketch has half of its types: what is unknown stays in this file

from array import array

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray

_N_MINIMA = 128
_SHINGLE_WORDS = 3
_WEIGHTS = (0.05, 0.95)  # few are missed; the many false candidates are compared anyway


class NearDuplicates:
    """An index of the texts that are not near duplicates of earlier ones; about 7 kB each."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._index = MinHashLSH(threshold, num_perm=_N_MINIMA, weights=_WEIGHTS)
        self._minima: list[NDArray[np.unsignedinteger]] = []
        self._examples = array("q")

    def is_near_duplicate(self, text: str, example: int) -> bool:
        """Whether the similarity to an indexed text of another example reaches the threshold.

        Texts of one example are not compared with each other. Other texts are added to the index.
        """
        words = text.lower().encode("utf-8", "replace").split()
        # A text of fewer than three words has one shingle, all of them together.
        starts = range(max(1, len(words) - _SHINGLE_WORDS + 1))
        sketch = MinHash(num_perm=_N_MINIMA)
        sketch.update_batch({b" ".join(words[start : start + _SHINGLE_WORDS]) for start in starts})
        minima = np.array(sketch.hashvalues)
        for match in self._index.query(sketch):
            assert isinstance(match, int)
            # Each candidate is compared by its minima, as unlike texts may share a bucket.
            is_similar = float(np.mean(self._minima[match] == minima)) >= self._threshold
            if self._examples[match] != example and is_similar:
                return True
        self._index.insert(len(self._minima), sketch, check_duplication=False)
        self._minima.append(minima)
        self._examples.append(example)
        return False
