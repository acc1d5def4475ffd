"""Whether a judge favours its own: its model's responses, or those of its family.

The self-preference of Zheng et al. 2023, arXiv:2306.05685, §3.3.

Which models are kin, by their names: a judge tends to favour answers of its own kind.

A name is reduced to its families. Those are:

- the known series in it with their main version: `openai:gpt-4o-mini@…` is of gpt-4o,
  `hf:Qwen/Qwen2.5-7B` of qwen-2, `meta-llama/Llama-3.1-8B-Instruct` of llama-3. A name with two
  series, such as a distillation, is of both.
- without a known series, what stands before the size: `acme/frob-7b-chat` is of acme/frob.
- without either, the name itself; a folder without what names a step of one training, such as
  `checkpoint-500`, so that two steps are of the same run.

Nothing is guessed beyond that: a name that says nothing is kin to itself alone, and a model that
nobody named to none.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cai.evaluation.judge.length_bias import WinShare, share_won
from cai.evaluation.stats.bootstrap import Estimate, share_estimate
from cai.methods.judging.ranking import JudgedMatchup
from cai.methods.judging.verdict import Group, Label, PrincipleVerdict, verdict_of
from cai.models.registry import KINDS

Kin = Literal["same", "family"]

_SERIES = (
    "alpaca|aya|baichuan|bloom|chatglm|claude|command|dbrx|deepseek|dolly|embedded|ernie|exaone|"
    "falcon|gemini|gemma|glm|gpt|granite|grok|guanaco|hermes|internlm|jamba|koala|llama|minimax|"
    "mistral|mixtral|mpt|nemotron|nova|o1|o3|o4|olmo|openchat|opt|orca|palm|phi|pythia|qwen|qwq|"
    "smollm|solar|stablelm|starling|text-davinci|tulu|ultralm|vicuna|wizardlm|yi|zephyr"
)
_KNOWN = re.compile(rf"(?<![a-z])(?:chat)?(?P<series>{_SERIES})(?![a-z])[- ]?")
# What may stand between a series and its version: claude-sonnet-4, command-r-7b.
_EDITION = re.compile(r"(?:(?:opus|sonnet|haiku|instant|r|chat|base|v)[- ]?)*")
# One or two digits that are no size (7b, 8x7b) and no date (2407); of gpt-4o the letter too.
_VERSION = re.compile(r"(?P<main>\d{1,2}(?!\d)(?:o(?![a-z]))?)(?!x\d)(?!(?:\.\d+)?[bmk](?![a-z]))")
_SIZE = re.compile(r"[- ](?:\d+x)?\d+(?:\.\d+)?[bmk](?![a-z0-9])")
_STEP = re.compile(
    r"/(?:(?:checkpoint|ckpt|step|epoch|global-step|iter|round)[- ]?\d+|final|best|last|latest|"
    r"merged|adapter|model)/?$"
)
_FORM = re.compile(rf"\b(?:{'|'.join(KINDS)}|anthropic|vllm):")


def kinship(one: str, other: str) -> Kin | None:
    """Whether two names are of the same model, or of one family; None for neither or unknown."""
    if not one or not other:
        return None
    if one == other or _is_same_elsewhere(one, other):
        return "same"
    return "family" if families(one) & families(other) else None


def families(name: str) -> frozenset[str]:
    """The families of a model's name; none of an empty one."""
    base, plus, adapter = bare_name(name).partition("+")
    if plus:
        return families(base) | families(adapter)
    base = _without_step(base.replace("_", "-"))
    folder, slash, place = base.rpartition("/")
    found = {_versioned(match) for match in _KNOWN.finditer(place)}
    if found or not base:
        return frozenset(found)
    size = _SIZE.search(place)
    return frozenset({folder + slash + place[: size.start()] if size else base})


def bare_name(name: str) -> str:
    """The name in lower case, without the kind of back end, endpoint, content hash and number type.

    Of an adapter, joined with a +, both names are kept.
    """
    scheme = _FORM.match(name)
    bare = name[scheme.end() :] if scheme else name
    bare = re.sub(r":(?:bfloat16|float16|float32)$", "", bare)
    parts = [re.sub(r"[@#].*$", "", part) for part in bare.split("+")]
    return "+".join(part.strip().rstrip("/") for part in parts).lower()


def _is_same_elsewhere(one: str, other: str) -> bool:
    """Equal but for the endpoint. Two names with a content hash differ in what they hold."""
    is_hashed = all(re.match(r"hf:|embedded#", name) for name in (one, other))
    return not is_hashed and bare_name(one) == bare_name(other)


def _without_step(path: str) -> str:
    while (shorter := _STEP.sub("", path)) != path:
        path = shorter
    return path


def _versioned(match: re.Match[str]) -> str:
    series, name = match["series"], match.string
    if series == "gpt" and name.startswith("oss", match.end()):
        return "gpt-oss"
    edition = _EDITION.match(name, match.end())
    version = _VERSION.match(name, edition.end() if edition else match.end())
    return f"{series}-{version['main']}" if version else series


_SIDES = {"a": 1, "b": -1}
_POINTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "inconsistent": 0.5}


@dataclass(frozen=True, slots=True)
class Relation:
    """A judge, and a model whose responses it judges: the very same, or of one family."""

    judge: str
    model: str
    kin: Kin


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """The matchups of a judge's own response against another's, by the judge's own verdicts.

    Own is the very same model, or one of its family, as `kin` says.
    """

    judge: str
    kin: Kin
    own: WinShare


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model's matchups against other models; `wins` counts a verdict without a side one half."""

    model: str
    wins: Estimate | None


@dataclass(frozen=True, slots=True)
class Ownership:
    """`n_unknown` matchups have a response whose model nobody knows, `n_alike` are of one model."""

    relations: tuple[Relation, ...]
    self_preference: tuple[SelfPreference, ...]
    models: tuple[ModelRecord, ...]
    n_unknown: int
    n_alike: int


@dataclass(slots=True)
class _Contests:
    """Rows of unit, winner, label and the side in question."""

    units: "array[int]" = field(default_factory=lambda: array("q"))
    winners: "array[int]" = field(default_factory=lambda: array("b"))
    labels: "array[int]" = field(default_factory=lambda: array("b"))
    sides: "array[int]" = field(default_factory=lambda: array("b"))

    def share(self, seed: int) -> WinShare:
        units, sides = np.array(self.units, np.int64), np.array(self.sides, np.int64)
        return WinShare(
            share_won(np.array(self.winners, np.int64), sides, units, seed),
            share_won(np.array(self.labels, np.int64), sides, units, seed),
        )


@dataclass(slots=True)
class _Record:
    units: "array[int]" = field(default_factory=lambda: array("q"))
    points: "array[float]" = field(default_factory=lambda: array("f"))

    def wins(self, seed: int) -> Estimate | None:
        points = np.array(self.points, np.float64)
        return share_estimate(points, np.ones(len(points)), np.array(self.units, np.int64), seed)


@dataclass(slots=True)
class OwnershipTally:
    """Takes one matchup after the other."""

    judges: Sequence[str]
    tie_margin: float
    kin: dict[tuple[str, str], Kin | None] = field(
        default_factory=dict[tuple[str, str], Kin | None]
    )
    own: dict[tuple[str, Kin], _Contests] = field(default_factory=dict[tuple[str, Kin], _Contests])
    records: dict[str, _Record] = field(default_factory=dict[str, _Record])
    n_unknown: int = 0
    n_alike: int = 0

    def add(self, unit: int, group: Group, matchup: JudgedMatchup, label: Label | None) -> None:
        a, b = (group.candidates[i].model for i in (matchup.first, matchup.second))
        for judge in self.judges:
            for model in (a, b):
                if model and (judge, model) not in self.kin:
                    self.kin[judge, model] = kinship(judge, model)
        if not a or not b:
            self.n_unknown += 1
        elif a == b:
            self.n_alike += 1
        else:
            self._add_models(unit, a, b, matchup)
            for judge in self.judges:
                self._add_own(
                    unit,
                    judge,
                    kin_a=self.kin[judge, a],
                    kin_b=self.kin[judge, b],
                    matchup=matchup,
                    label=label,
                )

    def _add_models(self, unit: int, a: str, b: str, matchup: JudgedMatchup) -> None:
        points = _POINTS.get(matchup.verdict.outcome)
        if points is not None:
            for model, share in ((a, points), (b, 1 - points)):
                record = self.records.setdefault(model, _Record())
                record.units.append(unit)
                record.points.append(share)

    def _add_own(
        self,
        unit: int,
        judge: str,
        kin_a: Kin | None,
        kin_b: Kin | None,
        matchup: JudgedMatchup,
        label: Label | None,
    ) -> None:
        sides: dict[Kin, int] = {
            "same": (kin_a == "same") - (kin_b == "same"),
            "family": (kin_a is not None) - (kin_b is not None),
        }
        principle_verdicts = [
            each for each in matchup.verdict.principle_verdicts if each.judge == judge
        ]
        if not principle_verdicts:
            return
        winner = _winner(principle_verdicts, self.tie_margin)
        for kin, own in sides.items():
            if not own:
                continue
            rows = self.own.setdefault((judge, kin), _Contests())
            rows.units.append(unit)
            rows.winners.append(winner)
            rows.labels.append(_SIDES.get(label or "", 0))
            rows.sides.append(own)

    def report(self, seed: int) -> Ownership:
        return Ownership(
            tuple(
                Relation(judge, model, kin)
                for (judge, model), kin in self.kin.items()
                if kin is not None
            ),
            tuple(
                SelfPreference(judge, kin, rows.share(seed))
                for (judge, kin), rows in self.own.items()
            ),
            tuple(ModelRecord(name, record.wins(seed)) for name, record in self.records.items()),
            self.n_unknown,
            self.n_alike,
        )


def _winner(principle_verdicts: Sequence[PrincipleVerdict], tie_margin: float) -> int:
    return _SIDES.get(verdict_of(principle_verdicts, tie_margin).outcome, 0)
