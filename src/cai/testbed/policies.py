"""Policies against the truth: what they answer to requests that no training has seen.

python -m cai.testbed.policies embedded hf:models/sl hf:models/rl --n 300
"""

import argparse
import random
from collections.abc import Sequence

from cai.engine.loop import run_async
from cai.models.opening import open_model
from cai.models.protocol import Sampling
from cai.sampling import respond
from cai.speaker import Speaker
from cai.testbed.curriculum import draw_request
from cai.testbed.many import every
from cai.testbed.measure import Rates, Sample, rates
from cai.types import Prompt, derive_seed, user_prompt

MAX_TOKENS = 96


def draw_prompts(
    n: int, seed: int | str, *, is_held_out: bool, is_harmful: bool | None = None
) -> list[Prompt]:
    """`n` different requests, about half of them harmful where nothing is said."""
    rng = random.Random(f"prompts {seed} {is_held_out}")
    found: dict[str, Prompt] = {}
    while len(found) < n:
        kind = rng.random() < 0.5 if is_harmful is None else is_harmful
        request = draw_request(rng, is_held_out=is_held_out, is_harmful=kind)
        found.setdefault(request.text, user_prompt(request.text, f"request-{len(found)}"))
    return list(found.values())


def policy_rates(spec: str, n: int = 600, seed: int = 0) -> Rates:
    """The rates of the model's responses at temperature 1 to `n` held-out requests."""
    return rates(policy_samples(spec, draw_prompts(n, f"truth {seed}", is_held_out=True), seed))


def policy_samples(spec: str, prompts: Sequence[Prompt], seed: int) -> list[Sample]:
    """A response of the model to each prompt, at temperature 1."""
    return run_async(_samples(spec, prompts, seed))


def describe(found: Rates) -> str:
    """The shares of harmful requests, of harmless ones, and of all, on one line."""
    return (
        f"harmful {found.harmful:.1%}, declined {found.declined:.1%}, evaded {found.evaded:.1%}; "
        f"helped {found.helped:.1%}, dodged {found.dodged:.1%}; rude {found.rude:.1%}, "
        f"unread {found.unread:.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cai.testbed.policies", description=__doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a spec, as for -m")
    parser.add_argument("--n", type=int, default=600, help="held-out requests")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for spec in options.models:
        print(f"{spec}: {describe(policy_rates(spec, options.n, options.seed))}")  # noqa: T201


async def _samples(spec: str, prompts: Sequence[Prompt], seed: int) -> list[Sample]:
    model = open_model(spec)
    policy = Speaker.of(model, Sampling(1.0, max_tokens=MAX_TOKENS))

    async def one(prompt: Prompt) -> Sample:
        said = await respond(policy, prompt, derive_seed(seed, prompt.id, "truth"))
        return Sample(prompt.request, said.text, said.text)

    try:
        return await every(prompts, one)
    finally:
        await model.close()


if __name__ == "__main__":
    main()
