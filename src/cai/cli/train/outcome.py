"""What a training came to, on the console or as JSON."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click

from cai.training.ranks import is_main_process

if TYPE_CHECKING:
    from cai.training.carrying_out import Trained

_NEXT = {
    "sft": (
        "cai sample PROMPTS -m hf:{out} -k 4 -o runs/samples",
        "cai judge runs/samples -c CONSTITUTION -m JUDGE -o runs/judged",
    ),
    "reward": (
        "cai train grpo PROMPTS -m hf:POLICY --reward-model {out} -o models/rl",
        "cai serve --reward-model {out}",
    ),
}
_SHOWN = (
    ("loss", "loss", ".4f"),
    ("accuracy", "pairs put right", ".1%"),
    ("rewards/accuracies", "pairs put right", ".1%"),
    ("mean_token_accuracy", "tokens put right", ".1%"),
    ("reward", "reward", ".3f"),
    ("kl", "KL", ".4f"),
)


def finish(trained: "Trained", trainer: str, is_json: bool) -> int:
    """Prints the outcome; of several processes one does."""
    if not is_main_process():
        return 0
    out, figures = trained.folder.path, trained.figures
    if is_json:
        click.echo(json.dumps({"event": "end", "out": str(out), "trainer": trainer, **figures}))
        return 0
    how = f"{figures['steps']} steps in {figures['seconds']} s" if trained.is_new else "done before"
    click.echo(f"{out}: {how}")
    for part, where in (("train", "last logged step"), ("evaluation", "held-out rows")):
        found = cast(Mapping[str, float], figures.get(part) or {})
        shown = [f"{label} {found[name]:{form}}" for name, label, form in _SHOWN if name in found]
        if shown:
            click.echo(f"{where}: {', '.join(shown)}")
    for source, found in cast(Mapping[str, Any], figures.get("held_out") or {}).items():
        click.echo(_held_out(source, found))
    judging = cast(Mapping[str, int] | None, figures.get("judging"))
    if judging:
        click.echo(
            f"judging: {judging['calls']:,} calls made, {judging['from_journal']:,} from the "
            f"journal; {judging['prompt_tokens']:,} tokens in"
        )
    for number, line in enumerate(_NEXT.get(trainer, ("cai sample PROMPTS -m hf:{out} …",))):
        click.echo(("Next: " if number == 0 else "      ") + line.format(out=out))
    return 0


def _held_out(source: str, found: Mapping[str, Any]) -> str:
    right = "–" if found["accuracy"] is None else f"{found['accuracy']:.1%}"
    return (
        f"labels of {source}: {right} of {found['n']} pairs put right, cross-entropy "
        f"{found['cross_entropy']:.3f} (at best {found['least']:.3f}), calibration error "
        f"{found['calibration_error']:.3f}"
    )
