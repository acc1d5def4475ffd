"""The commands of `cai train`: one for each of TRL's trainers that it calls.

What a training came to, on the console or as JSON.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console

from cai.cli.options.reward_options import RewardOptions, rewarded
from cai.cli.options.train_options import DataChoice, labelled, pairs, training
from cai.constitution.loader import load_constitution
from cai.errors import RunStopped
from cai.export.selection import Selection
from cai.training.environment import is_main_process
from cai.training.plan import LabelPlan, TrainPlan

if TYPE_CHECKING:
    from cai.training.run import Trained


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


@click.group(epilog="Example: cai train sft runs/first -m hf:MODEL -o models/sl")
def train() -> None:
    """Train policies and reward models on what runs and files hold. TRL does the training.

    DATA are run folders, or files: what `cai export` wrote, and the forms of people's data that
    `cai judge` and `cai score` read. OUT becomes a model folder that `hf:OUT` opens.
    """


@train.command(
    epilog="Example: cai train sft runs/first -m hf:MODEL --mix helpful.jsonl:helpfulness "
    "-o models/sl"
)
@training
@click.option("--all-rounds", is_flag=True, help="A row for the revision of every round.")
@click.option(
    "--sft-share",
    type=click.FloatRange(0, 1),
    help="Only this share of the prompts; preferences are to be of the others.",
)
def sft(
    source: DataChoice,
    plan: TrainPlan,
    console: Console,
    all_rounds: bool,
    sft_share: float | None,
    is_json: bool,
) -> int:
    """Supervised fine-tuning on revisions, or on any prompts with responses."""
    selection = Selection(all_rounds=all_rounds, sft_share=sft_share)
    data = source.load("sft", console, selection)
    from cai.training.trainers import train_sft  # heavy: torch, trl

    return finish(train_sft(data, plan, console), "sft", is_json)


@train.command(
    epilog="Example: cai train reward runs/judged -m hf:models/sl --pairs all -o models/reward"
)
@training
@pairs
@labelled
@click.option("--read-principles", is_flag=True, help="Principles are part of its input.")
@click.option("-c", "--constitution", help="Of those principles.")
@click.option("--tag", "tags", multiple=True, help="Only principles with this tag.")
@click.option(
    "--principles",
    "n_principles",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many each pair is shown.",
)
@click.option(
    "--negated-share",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="How many of them are turned into their opposite.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="How often each pair is shown, with other principles each time.",
)
def reward(
    source: DataChoice,
    plan: TrainPlan,
    console: Console,
    selection: Selection,
    labels: LabelPlan,
    read_principles: bool,
    constitution: str | None,
    tags: tuple[str, ...],
    n_principles: int,
    negated_share: float,
    draws: int,
    is_json: bool,
) -> int:
    """A reward model on pairs, by default on the judge's probabilities.

    With --read-principles, principles of the constitution stand in its input, so that other ones
    can be asked for later without training anew. The run must be judged under all of them.
    """
    if read_principles != (constitution is not None):
        raise click.UsageError("--read-principles and --constitution go together: give both.")
    data = source.load("preference", console, selection)
    from cai.training.reward import train_reward  # heavy: torch, trl
    from cai.training.reward_model.conditioning import ConditionPlan

    principles = (
        None
        if constitution is None
        else ConditionPlan(
            load_constitution(constitution), n_principles, tags, negated_share, draws
        )
    )
    return finish(train_reward(data, plan, console, labels, principles), "reward", is_json)


@train.command(
    epilog="Example: cai train dpo runs/judged -m hf:models/sl --set beta=0.2 -o models/dpo"
)
@training
@pairs
@labelled
def dpo(
    source: DataChoice,
    plan: TrainPlan,
    console: Console,
    selection: Selection,
    labels: LabelPlan,
    is_json: bool,
) -> int:
    """Direct preference optimisation on pairs, by default on the judge's probabilities."""
    data = source.load("preference", console, selection)
    from cai.training.trainers import train_dpo  # heavy: torch, trl

    return finish(train_dpo(data, plan, console, labels), "dpo", is_json)


@train.command(epilog="Example: cai train kto runs/judged -m hf:models/sl -o models/kto")
@training
@pairs
def kto(
    source: DataChoice, plan: TrainPlan, console: Console, selection: Selection, is_json: bool
) -> int:
    """Kahneman-Tversky optimisation on single responses that are good or not."""
    data = source.load("kto", console, selection)
    from cai.training.trainers import train_kto  # heavy: torch, trl

    return finish(train_kto(data, plan, console), "kto", is_json)


@train.command(
    epilog="Example: cai train grpo prompts.jsonl -m hf:models/sl --judge hf:JUDGE -c harmless "
    "--opponents 2 -o models/rl"
)
@training
@rewarded
def grpo(
    source: DataChoice,
    plan: TrainPlan,
    console: Console,
    rewards: RewardOptions,
    is_json: bool,
) -> int:
    """Group relative policy optimisation on prompts, with rewards from principles."""
    return _rl("grpo", source, plan, console, rewards, is_json)


@train.command(
    epilog="Example: cai train rloo prompts.jsonl -m hf:models/sl --reward-model models/reward "
    "-o models/rl"
)
@training
@rewarded
def rloo(
    source: DataChoice,
    plan: TrainPlan,
    console: Console,
    rewards: RewardOptions,
    is_json: bool,
) -> int:
    """REINFORCE with a leave-one-out baseline on prompts, with rewards from principles."""
    return _rl("rloo", source, plan, console, rewards, is_json)


def _rl(
    algorithm: str,
    source: DataChoice,
    plan: TrainPlan,
    console: Console,
    rewards: RewardOptions,
    is_json: bool,
) -> int:
    rewards.check()
    data = source.load("prompts", console, Selection())
    from cai.training.rl import train_rl  # heavy: torch, trl

    choice = rewards.open(plan.seed)
    name = "grpo" if algorithm == "grpo" else "rloo"
    try:
        trained = train_rl(name, data, plan, console, choice)
    except RunStopped as error:
        raise RunStopped(f"{error} A training goes on with --resume.") from error
    return finish(trained, algorithm, is_json)
