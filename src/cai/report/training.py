"""The section of the folder of a training: its data, its figures, and its curves.

The curves are of what the trainer logged, and of what was measured of the policy's texts.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from cai.engine.budget import Ledger, PriceList
from cai.engine.run_files import RUN_FILE
from cai.engine.run_folder import RunFolder
from cai.errors import TrainingError, UsageError
from cai.evaluation import format
from cai.evaluation.metrics import TRAINING, Metric
from cai.report import charts
from cai.report.model import Caveat, Fact, Headline, Plot, Section, SectionCost, SectionTable
from cai.report.runs import FEW
from cai.report.text import model_name, modified_at
from cai.training.folder import CONFIG_FILE, TrainFolder
from cai.training.monitor.monitor import FILE as WATCH_FILE
from cai.training.monitor.monitor import parse_rule
from cai.training.trainers import TRAINERS

Curve = Sequence[tuple[int, float]]
"""Values by step."""

MAX_LENGTH_CORRELATION = 0.8
# The names that trainers log accuracy under, of a reward model and of DPO.
_ACCURACIES = ("accuracy", "rewards/accuracies")
_ORDER = (
    *("reward", "kl", "kl_start", "length", "refusals", "evasive", "boilerplate", "empty"),
    *("cut_off", "entropy", "distinct_2", "self_similarity", "reward_length_correlation"),
)
_LOGGED = {
    "loss": Metric("loss", "loss"),
    "eval_loss": Metric("eval_loss", "loss on rows held out", heading="Loss on rows held out"),
}
_MAX_POINTS = 300


def training_section(path: Path, prices: PriceList) -> Section:
    """The section of the training in that folder, finished or not.

    Raises:
        TrainingError: Its settings, or the metrics of its texts, cannot be read.
    """
    folder = TrainFolder(path)
    config, figures = folder.config(), folder.figures()
    if config is None:
        raise TrainingError(
            f"{path / CONFIG_FILE}: cannot be read as the settings of a training. Restore it "
            "from a copy, or name another folder."
        )
    training = _Training(config, figures, *_read_watch(path / WATCH_FILE))
    spec = TRAINERS.get(training.trainer)
    n_steps = None if figures is None else int(_number(figures.get("steps")))
    state = ", not finished" if n_steps is None else f", {format.plural(n_steps, 'step')}"
    data = training.data
    sources = _mapping(data.get("sources"))
    n_rows = {name: n for name, n in sources.items() if isinstance(n, int)}
    ledgers: list[Ledger] = []
    # Each process of a training has its own run of judges: judging, judging-1, …
    for run_file in sorted(path.glob(f"judging*/{RUN_FILE}")):
        with RunFolder.existing(run_file.parent) as run:
            ledgers.append(Ledger.of(run.database, prices))
    # Without judges the calls of a training cost nothing, which is known: 0, and not None.
    costs = [ledger.cost_usd for ledger in ledgers if ledger.cost_usd is not None]
    cost = SectionCost(
        n_calls=sum(ledger.n_calls for ledger in ledgers),
        tokens_in=sum(ledger.usage.prompt_tokens for ledger in ledgers) if ledgers else None,
        tokens_out=sum(ledger.usage.completion_tokens for ledger in ledgers) if ledgers else None,
        cost_usd=sum(costs, 0.0) if len(costs) == len(ledgers) else None,
        seconds=None if figures is None else _number(figures.get("seconds")),
    )
    return Section(
        title=f"Training: {spec.title if spec else training.trainer}",
        done=(
            f"{path.resolve().name} was trained from {model_name(str(config.get('model', '')))} "
            f"by {spec.title if spec else 'training'} on "
            f"{format.plural(sum(n_rows.values()), 'row')}{state}."
        ),
        started=modified_at(path / CONFIG_FILE),
        weight=2,
        facts=(
            *(
                Fact("data", f"{model_name(name)}: {format.plural(n, 'row')}")
                for name, n in n_rows.items()
            ),
            Fact(
                "data",
                f"content {data.get('hash', format.NONE)}, {data.get('held_out', 0)} held out",
            ),
            *([Fact("labels", str(config["labels"]))] if config.get("labels") else []),
            Fact("from", f"{model_name(str(config.get('model')))} ({config.get('weights')})"),
            Fact("seed", str(config.get("seed", format.NONE))),
            *(
                Fact(f"reward: {kind}", _setting(reward))
                for kind, reward in _mapping(config.get("rewards")).items()
            ),
        ),
        headlines=tuple(training.headlines()),
        caveats=tuple(training.caveats()),
        cost=cost,
        tables=tuple(training.tables()),
        plots=tuple(training.plots(folder.log_history())),
        trained_from=str(config.get("model", "")),
    )


@dataclass(frozen=True, slots=True)
class _Training:
    """What the files of a training hold, and what the section shows of it.

    The figures are None until it is finished. `curves` are the metrics of the policy's texts,
    `broken` the rules that they broke: step, rule, value, and what followed.
    """

    config: Mapping[str, object]
    figures: Mapping[str, object] | None
    curves: Mapping[str, Curve]
    broken: tuple[tuple[int, str, float, str], ...]

    @property
    def trainer(self) -> str:
        return str(self.config.get("trainer", "training"))

    @property
    def data(self) -> Mapping[str, object]:
        return _mapping(self.config.get("data"))

    @property
    def held_out_pairs(self) -> Mapping[str, object]:
        """A reward model's figures on pairs held out."""
        return _mapping(self.of("held_out").get("all"))

    def of(self, name: str) -> Mapping[str, object]:
        """A mapping of the figures; empty where there is none."""
        return _mapping((self.figures or {}).get(name))

    def ends(self, metric: str) -> tuple[float, float] | None:
        """The first and the last value; None where there are fewer than two."""
        curve = self.curves.get(metric, ())
        return (curve[0][1], curve[-1][1]) if len(curve) > 1 else None

    def headlines(self) -> Iterator[Headline]:
        is_reward = self.trainer == "reward"
        what = "accuracy on pairs held out" if is_reward else "accuracy on rows held out"
        pairs = self.held_out_pairs
        accuracies = [
            float(value)
            for figures in (pairs, self.of("evaluation"))
            for name in _ACCURACIES
            if isinstance(value := figures.get(name), int | float)
        ]
        if accuracies:
            n = pairs.get("n", self.data.get("held_out"))
            what = f"{what} of this training's model, n = {n}"
            yield Headline(format.percent(accuracies[0]), what)
        for metric, what, show in (
            ("reward", "mean reward, first → last", format.number),
            ("refusals", "responses that decline, first → last", format.percent),
            ("length", "words a response, first → last", format.number),
        ):
            if (ends := self.ends(metric)) is not None:
                first, last = map(show, ends)
                yield Headline(f"{first} → {last}", f"{what} batch of the training")

    def caveats(self) -> Iterator[Caveat]:
        if self.figures is None:
            yield Caveat("This training is not finished: there are no figures of its end.", True)
        for step, rule, value, then in self.broken:
            what = "the training ended" if then == "stop" else "a warning"
            text = f"Step {step}: the rule “{rule}” was broken at {format.number(value)}: {what}."
            yield Caveat(text, True)
        spec = TRAINERS.get(self.trainer)
        if spec is not None and spec.uses_rewards:
            yield Caveat(
                "A policy learns what its reward pays, not what was meant: read its answers."
            )
            unscored = self.of("train").get("not_scored")
            if isinstance(unscored, float) and unscored > 0:
                share = format.percent(unscored)
                yield Caveat(f"{share} of the last responses got no reward.", unscored > 1 / 20)
        n = self.held_out_pairs.get("n")
        if isinstance(n, int) and n < FEW:
            yield Caveat(f"Only {format.plural(n, 'pair')} held out: the accuracy may be chance.")
        correlation = self.ends("reward_length_correlation")
        if correlation is not None and correlation[1] > MAX_LENGTH_CORRELATION:
            text = (
                f"Longer responses got more reward (correlation {correlation[1]:.2f} at the end)."
            )
            yield Caveat(text, True)

    def tables(self) -> Iterator[SectionTable]:
        """Figures of the last step beside those on rows held out; broken rules; and settings."""
        last, held_out = self.of("train"), self.of("evaluation")
        # The figures of texts (watch/) are those of the curves below.
        rows = [
            (name, _figure(last.get(name)), _figure(held_out.get(name)))
            for name in dict.fromkeys([*last, *held_out])
            if name != "step" and not name.startswith(("watch/", "clip_ratio"))
        ]
        for name, value in self.held_out_pairs.items():
            rows.append((f"pairs held out: {name}", format.NONE, _figure(value)))
        headings = ("figure", "last step", "held out")
        yield SectionTable("Figures of the trainer", headings, tuple(rows))
        broken = tuple(
            (rule, f"{step:,}", format.number(value), then)
            for step, rule, value, then in self.broken
        )
        yield SectionTable("Rules broken", ("rule", "step", "value", "then"), broken)
        chosen = _mapping(self.config.get("settings"))
        settings = tuple((name, _setting(value)) for name, value in chosen.items())
        yield SectionTable("Settings that were chosen", ("setting", "value"), settings)

    def plots(self, history: Iterable[Mapping[str, object]]) -> Iterator[Plot]:
        """The loss, and a curve for each metric that ever changed, with its limit where broken."""
        limits: dict[str, float] = {}
        for _, text, _, _ in self.broken:
            try:
                rule = parse_rule(text)
            except UsageError:  # a rule of another version: the curve has no limit then
                continue
            # The limit at the end of the curve: one relative to the last value moves with it.
            values = [value for _, value in self.curves.get(rule.metric, ())]
            if values:
                limits[rule.metric] = rule.limit(values)
        for name, metric in _LOGGED.items():
            # NaN, the loss of a diverged run, cannot be drawn.
            curve = [
                (int(_number(entry.get("step"))), loss)
                for entry in history
                if isinstance(loss := entry.get(name), float) and math.isfinite(loss)
            ]
            if len(curve) > 1:
                yield _curve_plot(metric, curve, None)
        for name in _ORDER:
            # A curve that never changes, such as a share that is always 0, shows nothing.
            if len({value for _, value in self.curves.get(name, ())}) > 1:
                yield _curve_plot(TRAINING[name], self.curves[name], limits.get(name))


def _read_watch(
    path: Path,
) -> tuple[dict[str, list[tuple[int, float]]], tuple[tuple[int, str, float, str], ...]]:
    curves: dict[str, list[tuple[int, float]]] = {}
    broken: list[tuple[int, str, float, str]] = []
    try:
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}). Restore it from a copy.") from error
    for number, line in enumerate(lines, 1):
        try:
            entry = cast(dict[str, object], json.loads(line))
            step = int(cast(int, entry.pop("step")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):  # a training that was killed leaves half a line
                break
            raise TrainingError(f"{path}:{number}: is not a line of figures. Fix it.") from error
        # A line holds the metrics of a step, or a rule that one of them broke.
        if "rule" in entry:
            value = float(cast(float, entry["value"]))
            broken.append((step, str(entry["rule"]), value, str(entry.get("then", "warn"))))
            continue
        for metric, value in entry.items():
            if isinstance(value, int | float):
                curves.setdefault(metric, []).append((step, float(value)))
    return curves, tuple(broken)


def _curve_plot(metric: Metric, curve: Curve, limit: float | None) -> Plot:
    """A metric over the steps: at most some 300 points, the last among them."""
    title, show = metric.label[0].upper() + metric.label[1:], metric.text
    (first, start), (last, end) = curve[0], curve[-1]
    limited = "" if limit is None else f", limit {show(limit)}"
    course = f"{show(start)} at step {first}, {show(end)} at step {last}{limited}"
    words = f"{metric.description}: {course}"
    levels = [] if limit is None else [("limit", limit)]
    axis = charts.Axis("share" if metric.kind == "share" else "", None, levels)
    # A picture of this width cannot show more points, and each one adds to the size of the page.
    thinned = [*curve[: -1 : max(1, len(curve) // _MAX_POINTS)], curve[-1]]
    points = [charts.Point(value, place=step) for step, value in thinned]
    return charts.lines(title, words, axis, "step", [charts.Line(title, points)])


# The files of a training may be those of another version, or edited: what has another type than
# expected is shown as absent, so that one odd value does not cost the whole report.
def _mapping(value: object) -> Mapping[str, object]:
    return cast(Mapping[str, object], value) if isinstance(value, Mapping) else {}


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _figure(value: object) -> str:
    return format.number(value) if isinstance(value, int | float) else format.NONE


def _setting(value: object) -> str:
    """A setting on one line, without folders of this machine."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return model_name(re.sub(r'["{}\[\]]', "", text))
