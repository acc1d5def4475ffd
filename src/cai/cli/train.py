"""The commands of `cai train`: one for each trainer of the table, with the options of its rows.

Of several processes, the first prints the result.

Example:
    $ cai train sft runs/first -m hf:MODEL -o models/sl
    $ cai train reward runs/judged -m hf:models/sl -o models/reward
    $ cai train grpo prompts.jsonl -m hf:models/sl --reward-model models/reward -o models/rl
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console

from cai.cli.options.reward_options import RewardOptions, rewarded
from cai.cli.options.run_options import echo_json
from cai.cli.options.settings_options import Command
from cai.cli.options.train_options import (
    LoadData,
    conditioned,
    demonstrations,
    labelled,
    pairs,
    training,
)
from cai.cli.tables import NONE
from cai.errors import RunStopped
from cai.export.selection import Selection
from cai.training.environment import is_main_process
from cai.training.plan import LabelPlan, TrainPlan
from cai.training.trainers import LABELLED_ROWS, TRAINERS, TrainerSpec, shown_metrics

if TYPE_CHECKING:
    from cai.training.reward_model.conditioning import ConditionPlan
    from cai.training.run import Trained


@click.group(epilog="Example: cai train sft runs/first -m hf:MODEL -o models/sl")
def train() -> None:
    """Train policies and reward models on what runs and files hold. TRL does the training.

    DATA are run folders, or files: what `cai export` wrote, and the forms of people's data that
    `cai judge` and `cai score` read. OUT becomes a model folder that `hf:OUT` opens.
    """


def _add_command(spec: TrainerSpec) -> None:
    """Adds the command of a trainer: the options of every training, and those of its rows."""
    # a function and not the body of the loop below: each command has a `spec` of its own

    def run(
        load: LoadData,
        plan: TrainPlan,
        console: Console,
        is_json: bool,
        selection: Selection = Selection(),
        labels: LabelPlan | None = None,
        principles: "ConditionPlan | None" = None,
        rewards: RewardOptions | None = None,
    ) -> int:
        # Options first: the data of a training may take minutes to load.
        if rewards is not None:
            rewards.check()
        data = load(spec.rows, selection)
        from cai.training.run import train as train_with  # heavy: torch, trl

        try:
            trained = train_with(
                spec.name,
                data,
                plan,
                console,
                labels=labels,
                principles=principles,
                rewards=None if rewards is None else rewards.open(plan.seed),
            )
        # A cap of the judges stopped it. The message of the run knows nothing of trainings.
        except RunStopped as error:
            raise RunStopped(f"{error} A training goes on with --resume.") from error
        return finish(trained, spec, is_json)

    command: Command = run
    # as for decorators: the first is the innermost, and its options are the last of the help
    if not spec.is_policy:
        command = conditioned(command)
    if spec.takes_labels:
        command = labelled(command)
    if spec.rows in LABELLED_ROWS:
        command = pairs(command)
    if spec.rows == "sft":
        command = demonstrations(command)
    if spec.uses_rewards:
        command = rewarded(command)
    add = train.command(
        spec.name,
        help="\n\n".join(filter(None, (spec.summary, spec.details, f"Source: {spec.paper}."))),
        epilog=f"Example: cai train {spec.name} {spec.example}",
    )
    add(training(command))


def finish(trained: "Trained", spec: TrainerSpec, is_json: bool) -> int:
    """Prints the outcome; of several processes only the main one does."""
    if not is_main_process():
        return 0
    out, figures = trained.folder.path, trained.figures
    if is_json:
        echo_json({"event": "end", "out": str(out), "trainer": spec.name, **figures})
        return 0
    how = f"{figures['steps']} steps in {figures['seconds']} s" if trained.is_new else "done before"
    click.echo(f"{out}: {how}")
    for part, where in (("train", "last logged step"), ("evaluation", "held-out rows")):
        shown = shown_metrics(cast(Mapping[str, object], figures.get(part) or {}))
        if shown:
            click.echo(f"{where}: {', '.join(shown)}")
    for source, labels in cast(Mapping[str, Any], figures.get("held_out") or {}).items():
        accuracy = NONE if labels["accuracy"] is None else f"{labels['accuracy']:.1%}"
        click.echo(
            f"labels of {source}: pair accuracy {accuracy} of {labels['n']}, cross-entropy "
            f"{labels['cross_entropy']:.3f} (at best {labels['least']:.3f}), calibration error "
            f"{labels['calibration_error']:.3f}"
        )
    judging = cast(Mapping[str, int] | None, figures.get("judging"))
    if judging:
        click.echo(
            f"judging: {judging['calls']:,} calls made, {judging['from_journal']:,} from the "
            f"journal; {judging['prompt_tokens']:,} tokens in"
        )
    for number, line in enumerate(spec.next_commands):
        click.echo(("Next: " if number == 0 else "      ") + line.format(out=out))
    return 0


for _spec in TRAINERS.values():
    _add_command(_spec)
