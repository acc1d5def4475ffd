"""The folder of a training as a part: what it learned from, its figures, and its curves.

The curves of a training: what the trainer logged, and what was seen of the policy's texts.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from cai.engine.budget import Ledger, PriceList
from cai.engine.run_files import RUN_FILE
from cai.engine.run_folder import RunFolder
from cai.errors import TrainingError, UsageError
from cai.evaluation import format
from cai.evaluation.metrics import TRAINING, Metric
from cai.report import charts
from cai.report.model import Doubt, Fact, Headline, Plot, Section, SectionTable, Took
from cai.report.runs import FEW
from cai.report.tensorboard import read_scalars
from cai.report.text import model_name
from cai.training.folder import ASKED, TrainFolder
from cai.training.monitor.monitor import FILE as WATCHED
from cai.training.monitor.monitor import parse_rule
from cai.training.trainers import TRAINERS

_ACCURACIES = ("accuracy", "rewards/accuracies")


@dataclass(frozen=True, slots=True)
class Watched:
    """What was seen of the policy's texts: each metric's values by step, and the rules broken."""

    series: Mapping[str, Sequence[tuple[int, float]]]
    broken: tuple[tuple[int, str, float, str], ...]

    def ends(self, metric: str) -> tuple[float, float] | None:
        """The first and the last value; None where the metric was seen less than twice."""
        found = self.series.get(metric, ())
        return (found[0][1], found[-1][1]) if len(found) > 1 else None


def trained_part(path: Path, shown: str, prices: PriceList) -> Section:
    """The part of the training in that folder, finished or not.

    Raises:
        TrainingError: What it was asked, or what was seen of it, cannot be read.
    """
    folder = TrainFolder(path)
    asked = folder.asked()
    if asked is None:
        raise TrainingError(
            f"{path / ASKED}: cannot be read as the settings of a training. Put back a copy of it, "
            "or name another folder."
        )
    figures, watched = folder.figures(), _watched(path / WATCHED)
    trainer = str(asked.get("trainer", "training"))
    began = datetime.fromtimestamp((path / ASKED).stat().st_mtime, UTC)
    tables = (_figure_table(figures), _broken_table(watched), _settings_table(asked))
    return Section(
        title=f"Training: {TRAINERS[trainer].title if trainer in TRAINERS else trainer}",
        path=shown,
        done=_done(asked, figures, Path(shown).name or shown),
        began=began.isoformat(timespec="seconds"),
        weight=2,
        facts=tuple(_facts(asked)),
        headlines=tuple(_headlines(asked, figures, watched)),
        doubts=tuple(_doubts(asked, figures, watched)),
        took=_took(folder, figures, prices),
        tables=tuple(table for table in tables if table is not None),
        plots=tuple(trained_plots(path, watched.series, _limits(watched))),
        trained_from=str(asked.get("model", "")),
    )


def _watched(path: Path) -> Watched:
    series: dict[str, list[tuple[int, float]]] = {}
    broken: list[tuple[int, str, float, str]] = []
    try:
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}). Put back a copy of it.") from error
    for number, line in enumerate(lines, 1):
        try:
            entry = cast(dict[str, object], json.loads(line))
            step = int(cast(int, entry.pop("step")))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):  # half a line is what a killed training leaves
                break
            raise TrainingError(f"{path}:{number}: is not a line of figures. Mend it.") from error
        if "rule" in entry:
            value = float(cast(float, entry["value"]))
            broken.append((step, str(entry["rule"]), value, str(entry.get("then", "warn"))))
            continue
        for metric, value in entry.items():
            if isinstance(value, int | float):
                series.setdefault(metric, []).append((step, float(value)))
    return Watched(series, tuple(broken))


def _done(asked: Mapping[str, object], figures: Mapping[str, object] | None, name: str) -> str:
    spec = TRAINERS.get(str(asked.get("trainer")))
    method = "training" if spec is None else spec.title
    base = model_name(str(asked.get("model", "")))
    rows = format.plural(sum(_sources(asked).values()), "row")
    steps = "" if figures is None else f", {format.plural(int(_number(figures, 'steps')), 'step')}"
    end = "" if figures is not None else ", not finished"
    return f"{name} was trained from {base} by {method} on {rows}{steps}{end}."


def _facts(asked: Mapping[str, object]) -> Iterator[Fact]:
    for name, n in _sources(asked).items():
        yield Fact("data", f"{model_name(name)}: {format.plural(n, 'row')}")
    data = _mapping(asked.get("data"))
    yield Fact(
        "data", f"content {data.get('hash', format.NONE)}, {data.get('held_out', 0)} held out"
    )
    if asked.get("labels"):
        yield Fact("labels", str(asked["labels"]))
    yield Fact("from", f"{model_name(str(asked.get('model')))} ({asked.get('weights')})")
    yield Fact("seed", str(asked.get("seed", format.NONE)))
    rewards = _mapping(asked.get("rewards"))
    for kind, reward in rewards.items():
        yield Fact(f"reward: {kind}", _plain(reward))


def _headlines(
    asked: Mapping[str, object], figures: Mapping[str, object] | None, watched: Watched
) -> Iterator[Headline]:
    name = "pairs held out are put right" if asked.get("trainer") == "reward" else "held out right"
    held_out = _mapping(_mapping((figures or {}).get("held_out")).get("all"))
    accuracy = _held_out_accuracy(figures)
    n = held_out.get("n", _mapping(asked.get("data")).get("held_out"))
    if accuracy is not None:
        yield Headline(format.percent(accuracy), f"{name} by this training's model, n = {n}")
    for metric, what, is_share in (
        ("reward", "mean reward, first → last", False),
        ("refusals", "responses that decline, first → last", True),
        ("length", "words a response, first → last", False),
    ):
        ends = watched.ends(metric)
        if ends is not None:
            show = format.percent if is_share else format.number
            yield Headline(f"{show(ends[0])} → {show(ends[1])}", f"{what} batch of the training")


def _doubts(
    asked: Mapping[str, object], figures: Mapping[str, object] | None, watched: Watched
) -> Iterator[Doubt]:
    if figures is None:
        yield Doubt("This training is not finished: there are no figures of its end.", True)
    for step, rule, value, then in watched.broken:
        what = "the training ended" if then == "stop" else "a warning"
        text = f"Step {step}: the rule “{rule}” was broken at {format.number(value)}: {what}."
        yield Doubt(text, True)
    spec = TRAINERS.get(str(asked.get("trainer")))
    if spec is not None and spec.uses_rewards:
        yield Doubt("A policy learns what its reward pays, not what was meant: read its answers.")
        unscored = _mapping((figures or {}).get("train")).get("not_scored")
        if isinstance(unscored, float) and unscored > 0:
            share = format.percent(unscored)
            yield Doubt(f"{share} of the last responses got no reward.", unscored > 1 / 20)
    held_out = _mapping(_mapping((figures or {}).get("held_out")).get("all"))
    n = held_out.get("n")
    if isinstance(n, int) and n < FEW:
        yield Doubt(f"Only {format.plural(n, 'pair')} held out: the accuracy may be chance.")
    correlation = watched.ends("reward_length_correlation")
    if correlation is not None and correlation[1] > 0.8:
        text = f"Longer responses got more reward (correlation {correlation[1]:.2f} at the end)."
        yield Doubt(text, True)


def _took(folder: TrainFolder, figures: Mapping[str, object] | None, prices: PriceList) -> Took:
    """The training's seconds, and the calls of judges that its processes asked for rewards."""
    took = Took(
        seconds=None if figures is None else _number(figures, "seconds"), n_calls=0, cost_usd=0.0
    )
    for path in sorted(folder.path.glob(f"{folder.judging.name}*/{RUN_FILE}")):
        with RunFolder.existing(path.parent) as run:
            took = _plus(took, Ledger.of(run.database, prices))
    return took


def _plus(took: Took, ledger: Ledger) -> Took:
    usage, cost = ledger.usage, ledger.cost_usd
    return replace(
        took,
        n_calls=(took.n_calls or 0) + ledger.n_calls,
        tokens_in=(took.tokens_in or 0) + usage.prompt_tokens,
        tokens_out=(took.tokens_out or 0) + usage.completion_tokens,
        cost_usd=None if took.cost_usd is None or cost is None else took.cost_usd + cost,
    )


def _figure_table(figures: Mapping[str, object] | None) -> SectionTable | None:
    """All figures, those of the last step beside those on rows held out."""
    train = _mapping((figures or {}).get("train"))
    held_out = _mapping((figures or {}).get("evaluation"))
    pairs = _mapping(_mapping((figures or {}).get("held_out")).get("all"))
    names = [
        name
        for name in dict.fromkeys([*train, *held_out])
        if name != "step" and not name.startswith(("watch/", "clip_ratio"))
    ]
    rows = [(name, _shown(train.get(name)), _shown(held_out.get(name))) for name in names]
    rows += [
        (f"pairs held out: {name}", format.NONE, _shown(value)) for name, value in pairs.items()
    ]
    headings = ("figure", "last step", "held out")
    return SectionTable("Figures of the trainer", headings, tuple(rows)) if rows else None


def _broken_table(watched: Watched) -> SectionTable | None:
    rows = tuple(
        (rule, f"{step:,}", format.number(value), then)
        for step, rule, value, then in watched.broken
    )
    return SectionTable("Rules broken", ("rule", "step", "value", "then"), rows) if rows else None


def _settings_table(asked: Mapping[str, object]) -> SectionTable | None:
    rows = tuple((name, _plain(value)) for name, value in _mapping(asked.get("settings")).items())
    return SectionTable("Settings that were chosen", ("setting", "value"), rows) if rows else None


def _limits(watched: Watched) -> dict[str, float]:
    """The limit of each metric whose rule was broken."""
    found: dict[str, float] = {}
    for _, text, _, _ in watched.broken:
        try:
            rule = parse_rule(text)
        except UsageError:  # of another version of cai
            continue
        values = watched.series.get(rule.metric, ())
        if values:
            found[rule.metric] = rule.limit([value for _, value in values])
    return found


def _held_out_accuracy(figures: Mapping[str, object] | None) -> float | None:
    pairs = _mapping(_mapping((figures or {}).get("held_out")).get("all"))
    evaluation = _mapping((figures or {}).get("evaluation"))
    for found in (pairs, evaluation):
        for name in _ACCURACIES:
            value = found.get(name)
            if isinstance(value, int | float):
                return float(value)
    return None


def _sources(asked: Mapping[str, object]) -> dict[str, int]:
    found = _mapping(_mapping(asked.get("data")).get("sources"))
    return {name: n for name, n in found.items() if isinstance(n, int)}


def _mapping(value: object) -> Mapping[str, object]:
    return cast(Mapping[str, object], value) if isinstance(value, Mapping) else {}


def _number(figures: Mapping[str, object], name: str) -> float:
    value = figures.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _shown(value: object) -> str:
    return format.number(value) if isinstance(value, int | float) else format.NONE


def _plain(value: object) -> str:
    """A setting on one line, without folders of this machine."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return model_name(re.sub(r'["{}\[\]]', "", text))


Series = Sequence[tuple[int, float]]

_ORDER = (
    *("reward", "kl", "kl_start", "length", "refusals", "evasive", "boilerplate", "empty"),
    *("cut_off", "entropy", "distinct_2", "self_similarity", "reward_length_correlation"),
)
_LOGGED = {
    "train/loss": Metric("loss", "loss"),
    "eval/loss": Metric("eval_loss", "loss on rows held out", heading="Loss on rows held out"),
}
_MOST_POINTS = 300


def trained_plots(
    folder: Path, watched: Mapping[str, Series], limits: Mapping[str, float]
) -> Iterator[Plot]:
    """The loss, and a curve for each metric that ever changed, with its limit where broken."""
    logged = read_scalars(folder / "logs")
    for tag, metric in _LOGGED.items():
        if len(logged.get(tag, ())) > 1:
            yield _curve(metric, logged[tag], None)
    for name in _ORDER:
        if len({value for _, value in watched.get(name, ())}) > 1:
            yield _curve(TRAINING[name], watched[name], limits.get(name))


def _curve(metric: Metric, series: Series, limit: float | None) -> Plot:
    title, shown = metric.label[0].upper() + metric.label[1:], metric.text
    (first, begins), (last, ends) = series[0], series[-1]
    limited = "" if limit is None else f", limit {shown(limit)}"
    course = f"{shown(begins)} at step {first}, {shown(ends)} at step {last}{limited}"
    words = f"{metric.description}: {course}"
    levels = [] if limit is None else [("limit", limit)]
    axis = charts.Axis("share" if metric.kind == "share" else "", None, levels)
    points = [charts.Point(value, place=step) for step, value in _thinned(series)]
    return charts.lines(title, words, axis, "step", [charts.Line(title, points)])


def _thinned(series: Series) -> Series:
    """At most some 300 points, the last among them."""
    every = max(1, len(series) // _MOST_POINTS)
    return [*series[:-1:every], series[-1]]
