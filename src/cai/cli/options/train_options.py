"""The options of trainings: those of all, and those of the rows that a trainer reads.

Each decorator turns its options into one argument of the command.

Example:
    @training
    @labelled
    def run(load, plan, console, labels, is_json) -> int: ...
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from rich.console import Console

from cai.cli.options.data_options import mix_option, with_selection
from cai.cli.options.settings_options import PATH, Command, with_object, with_options
from cai.constitution.loader import load_constitution
from cai.errors import UsageError
from cai.export.data_files import Kind
from cai.export.selection import Selection
from cai.training.data.load import TrainingData, load_training_data
from cai.training.environment import is_launched, is_main_process, require
from cai.training.monitor.monitor import DEFAULT_RULES, parse_rule
from cai.training.plan import LABEL_KINDS, LabelPlan, TrainPlan
from cai.training.settings import TrainerSettings, read_settings

if TYPE_CHECKING:
    from cai.training.reward_model.conditioning import ConditionPlan

_DATA_OPTIONS = [
    click.argument("data", nargs=-1, required=True),
    click.option(
        "-m", "--model", required=True, help="Start of training: embedded or hf:NAME_OR_PATH."
    ),
    click.option("-o", "--out", type=PATH, required=True, help="The model's folder."),
    mix_option,
    click.option(
        "--eval-share",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.05,
        help="Of the prompts: held out, and evaluated on at the end.",
    ),
    click.option("--limit", type=click.IntRange(1), help="Only the first rows."),
    click.option("--skip-bad-rows", is_flag=True, help="Skip and count rows that cannot be used."),
]
_TRAINING_OPTIONS = [
    click.option(
        "--settings",
        type=click.Path(dir_okay=False),
        help="YAML of TRL's settings, and of `lora:`.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="NAME=VALUE",
        help="One setting, such as learning_rate=1e-5 or lora.r=8.",
    ),
    click.option("--lora", "is_lora", is_flag=True, help="Train adapters, at their defaults."),
    click.option("--seed", type=int, default=0),
    click.option("--resume", "resumes", is_flag=True, help="Go on from the last checkpoint."),
    click.option(
        "--report-to",
        "reports",
        type=click.Choice(["trackio", "wandb"]),
        multiple=True,
        help="Also log there; TensorBoard always.",
    ),
    click.option(
        "--watch",
        "rules",
        multiple=True,
        metavar="RULE",
        help="Warn or stop by a rule, in place of the shipped ones: "
        "'distinct_2 < 0.5*start then stop'.",
    ),
    click.option(
        "--allow-control-tokens",
        "allows_control_tokens",
        is_flag=True,
        help="Accept rows with control tokens that the chat template would interpret.",
    ),
    click.option("--launch", metavar="CONFIG", help="Several processes: ddp, fsdp, … or a file."),
    click.option("--processes", type=click.IntRange(1), help="How many, with --launch."),
    click.option("--json", "is_json", is_flag=True, help="The figures as one JSON object."),
]
_PRINCIPLE_OPTIONS = [
    click.option("--read-principles", is_flag=True, help="Principles are part of its input."),
    click.option("-c", "--constitution", help="Of those principles."),
    click.option("--tag", "tags", multiple=True, help="Only principles with this tag."),
    click.option(
        "--principles", "n_principles", type=click.IntRange(1), default=3, help="Shown per pair."
    ),
    click.option(
        "--negated-share", type=click.FloatRange(0, 1), default=0.25, help="Share of them negated."
    ),
    click.option(
        "--draws",
        type=click.IntRange(1),
        default=4,
        help="Times that each pair is shown, with other principles each time.",
    ),
]
# The targets of soft-label losses; see `training/soft_losses.py` for what each loss makes of them.
_LABEL_OPTIONS = [
    click.option(
        "--labels",
        "kind",
        type=click.Choice(LABEL_KINDS),
        default="soft",
        help="Target: the judge's probability; 1; or 1 or 0 drawn from it in each epoch.",
    ),
    click.option(
        "--min-margin",
        type=click.FloatRange(0, 0.5, max_open=True),
        default=0.0,
        help="Leave out pairs whose probability is closer to one half than this.",
    ),
    click.option(
        "--label-smoothing",
        "smoothing",
        type=click.FloatRange(0, 0.5, max_open=True),
        default=0.0,
        help="Moves every label towards one half.",
    ),
    click.option(
        "--label-temperature",
        "temperature",
        type=click.FloatRange(0, min_open=True),
        default=1.0,
        help="Below 1 sharpens labels; `cai agreement` prints the one that fits people.",
    ),
]


LoadData: TypeAlias = Callable[[Kind, Selection], TrainingData]
"""Loads rows of a kind and prints how many each source has."""


def training(command: Command) -> Command:
    """Gives a command `load`, `plan`, `console` and `is_json`; --launch starts processes."""

    @wraps(command)
    def run(
        data: tuple[str, ...],
        mixes: tuple[str, ...],
        eval_share: float,
        limit: int | None,
        skip_bad_rows: bool,
        model: str,
        out: Path,
        settings: str | None,
        overrides: tuple[str, ...],
        is_lora: bool,
        seed: int,
        resumes: bool,
        reports: tuple[str, ...],
        rules: tuple[str, ...],
        allows_control_tokens: bool,
        launch: str | None,
        processes: int | None,
        **options: Any,
    ) -> int:
        require()
        if processes is not None and launch is None:
            raise UsageError("--processes goes with --launch, which says how they work together.")
        # This process starts the others and only waits: each of them parses this command again,
        # with the environment of a launched process, and goes on below.
        if launch is not None and not is_launched():
            from cai.training.launch import launch as launched  # heavy: torch

            return launched(click.get_current_context().find_root().obj, launch, processes)
        chosen = read_settings(settings, overrides)
        # --lora turns adapters on at their defaults; a settings file with lora: has turned them on
        # already.
        if is_lora and "lora" not in chosen:
            chosen = TrainerSettings({**chosen.given, "lora": {}}, chosen.places)
        # Rules replace the shipped ones. With both, a shipped one could not be switched off.
        parsed = tuple(parse_rule(each) for each in rules) or DEFAULT_RULES
        plan = TrainPlan(
            model=model,
            out=out,
            settings=chosen,
            seed=seed,
            resumes=resumes,
            reports=reports,
            rules=parsed,
            allows_control_tokens=allows_control_tokens,
        )
        # a rank other than the first stays silent, or each line would come once a process
        console = Console(stderr=True, quiet=not is_main_process(), soft_wrap=True)

        def load(kind: Kind, selection: Selection) -> TrainingData:
            rows = load_training_data(
                data,
                kind,
                mixes,
                selection=selection,
                eval_share=eval_share,
                seed=seed,
                limit=limit,
                skip_bad_rows=skip_bad_rows,
            )
            for line in rows.describe():
                console.print(line, markup=False, highlight=False)
            return rows

        return command(load=load, plan=plan, console=console, **options)

    return with_options(run, [*_DATA_OPTIONS, *_TRAINING_OPTIONS])


def _principles(
    read_principles: bool, constitution: str | None, **plan: Any
) -> "ConditionPlan | None":
    if read_principles != (constitution is not None):
        raise click.UsageError("--read-principles and --constitution go together: give both.")
    from cai.training.reward_model.conditioning import ConditionPlan  # heavy: transformers

    return None if constitution is None else ConditionPlan(load_constitution(constitution), **plan)


demonstrations = with_selection("all_rounds", "sft_share")
"""Gives a command `selection`, of the revisions of a run."""

pairs = with_selection("pairs", "balances_length")
"""Gives a command `selection`, of the pairs of judged runs."""

labelled = with_object(
    "labels", LabelPlan, ("kind", "min_margin", "smoothing", "temperature"), _LABEL_OPTIONS
)
"""Gives a command `labels`: the targets that are made of the judge's probabilities."""

conditioned = with_object(
    "principles",
    _principles,
    ("read_principles", "constitution", "tags", "n_principles", "negated_share", "draws"),
    _PRINCIPLE_OPTIONS,
)
"""Gives a command `principles`: those that a reward model reads, None for one that does not."""
