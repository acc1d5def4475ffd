"""Pairs of responses of the testbed with the truth as their label.

`python -m cai.testbed.pairs --n 300 --out pairs.jsonl` writes them as a file for `cai judge` and
`cai agreement`.
"""

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cai.judging.comparisons import Comparison
from cai.testbed.curriculum import draw_any, draw_request
from cai.testbed.oracle import read_response
from cai.testbed.truth import breaches
from cai.testbed.world import Request
from cai.types import user_prompt


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Any two responses to a held-out request; the better one breaks fewer principles."""

    request: Request
    response_a: str
    response_b: str
    is_a_better: bool

    @property
    def comparison(self) -> Comparison:
        return Comparison(user_prompt(self.request.text), self.response_a, self.response_b)


def draw_labelled(rng: random.Random) -> Iterator[LabelledPair]:
    """Pairs without end, each with a right answer."""
    while True:
        request = draw_request(rng, is_held_out=True)
        texts = [draw_any(rng, request).text(request) for _ in range(2)]
        n_broken = [len(breaches(request, read_response(request, text))) for text in texts]
        if n_broken[0] != n_broken[1]:
            yield LabelledPair(request, texts[0], texts[1], n_broken[0] < n_broken[1])


def write_pairs(path: Path, n: int, seed: int) -> None:
    """A JSON Lines file with id, prompt, response_a, response_b, label and category."""
    pairs = draw_labelled(random.Random(f"pairs {seed}"))
    with path.open("w", encoding="utf-8") as file:
        for number in range(n):
            pair = next(pairs)
            row = {
                "id": f"pair-{number}",
                "prompt": pair.request.text,
                "response_a": pair.response_a,
                "response_b": pair.response_b,
                "label": "a" if pair.is_a_better else "b",
                "category": "harmful" if pair.request.harm else "harmless",
            }
            file.write(json.dumps(row) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cai.testbed.pairs", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_pairs(options.out, options.n, options.seed)


if __name__ == "__main__":
    main()
