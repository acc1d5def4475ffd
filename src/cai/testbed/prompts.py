"""Requests of the testbed as a file of prompts.

python -m cai.testbed.prompts --n 300 --out prompts.jsonl
"""

import argparse
import json
from pathlib import Path

from cai.testbed.policies import draw_prompts

_KINDS = {"harmful": True, "benign": False}


def write_prompts(
    path: Path,
    n: int,
    seed: int | str,
    *,
    is_held_out: bool = False,
    is_harmful: bool | None = None,
) -> None:
    """Writes `n` different requests; by default such as are trained on, half of them harmful.

    Held-out ones are kept for measuring.
    """
    prompts = draw_prompts(n, seed, is_held_out=is_held_out, is_harmful=is_harmful)
    rows = [json.dumps({"id": each.id, "prompt": each.request}) for each in prompts]
    path.write_text("\n".join(rows) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cai.testbed.prompts", description=__doc__)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", action="store_true", help="requests kept for measuring")
    parser.add_argument("--kind", choices=["both", *_KINDS], default="both")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write_prompts(
        options.out,
        options.n,
        options.seed,
        is_held_out=options.held_out,
        is_harmful=_KINDS.get(options.kind),
    )


if __name__ == "__main__":
    main()
