"""Self-preference: whether a judge favours responses of its own model, or of its model family.

Self-enhancement bias of Zheng et al. 2023, arXiv:2306.05685, §3.3.

The families of a model are derived from its name:

- the known series in it with their major version: `openai:gpt-4o-mini@…` is of gpt-4o,
  `hf:Qwen/Qwen2.5-7B` of qwen-2, `meta-llama/Llama-3.1-8B-Instruct` of llama-3. A name with two
  series, such as a distillation, is of both.
- without a known series, the part before the size: `acme/frob-7b-chat` is of acme/frob.
- without either, the name itself; a folder without a part that names a step of one training, such
  as `checkpoint-500`, so that two steps are of the same run.

Nothing is guessed beyond that: an uninformative name is related to itself alone, and an unknown
model to none.

Example:
    >>> model_relation("hf:Qwen/Qwen2.5-7B", "openai:qwen2.5-max")
    'family'
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cai.evaluation.judge.length_bias import SIDES, WinShare, win_share
from cai.evaluation.stats.bootstrap import Estimate, GrowingColumns, share_estimate
from cai.methods.judging.composition import Composer
from cai.methods.judging.ranking import JudgedMatchup
from cai.methods.judging.verdict import Group, Label
from cai.models.registry import KINDS

RelationKind = Literal["same", "family"]

# Names of releases are the only evidence there is: a served model does not state its ancestors. A
# series that is missing here makes a model related to its own size variants alone.
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

_POINTS = {"a": 1.0, "b": 0.0, "tie": 0.5, "inconsistent": 0.5}


def model_relation(one: str, other: str) -> RelationKind | None:
    """Whether two names are of one model or of one family; None for neither or an empty name."""
    if not one or not other:
        return None
    # The same name at two endpoints is one model. Names with a content hash are only equal as a
    # whole: two folders of one name may hold different weights.
    is_hashed = all(re.match(r"hf:|embedded#", name) for name in (one, other))
    if one == other or (not is_hashed and bare_name(one) == bare_name(other)):
        return "same"
    return "family" if families(one) & families(other) else None


def families(name: str) -> frozenset[str]:
    """The families of a model's name; none of an empty one."""
    base, plus, adapter = bare_name(name).partition("+")
    if plus:
        return families(base) | families(adapter)
    base = base.replace("_", "-")
    while (shorter := _STEP.sub("", base)) != base:  # checkpoints may be nested: run/step-5/adapter
        base = shorter
    folder, slash, last = base.rpartition("/")
    found: set[str] = set()
    for match in _KNOWN.finditer(last):
        edition = _EDITION.match(last, match.end())
        version = _VERSION.match(last, edition.end() if edition else match.end())
        series = f"{match['series']}-{version['main']}" if version else match["series"]
        # gpt-oss is a series with open weights, whose number is a size
        is_oss = match["series"] == "gpt" and last.startswith("oss", match.end())
        found.add("gpt-oss" if is_oss else series)
    if found or not base:
        return frozenset(found)
    size = _SIZE.search(last)
    return frozenset({folder + slash + last[: size.start()] if size else base})


def bare_name(name: str) -> str:
    """The name in lower case, without backend, endpoint, content hash and dtype.

    The names of a base model and its adapter are joined with a +.
    """
    scheme = _FORM.match(name)
    bare = name[scheme.end() :] if scheme else name
    bare = re.sub(r":(?:bfloat16|float16|float32)$", "", bare)
    parts = [re.sub(r"[@#].*$", "", part) for part in bare.split("+")]
    return "+".join(part.strip().rstrip("/") for part in parts).lower()


@dataclass(frozen=True, slots=True)
class Relation:
    """A judge, and a model whose responses it judges: the same model, or of one family."""

    judge: str
    model: str
    relation: RelationKind


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """The matchups of a judge's own response against another's, by this judge's verdicts alone.

    A response is its own if from the same model, or from one of its family, as `relation` says.
    """

    judge: str
    relation: RelationKind
    own: WinShare


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model's matchups against other models; `wins` counts a verdict without a side one half."""

    model: str
    wins: Estimate | None


@dataclass(frozen=True, slots=True)
class Ownership:
    """`n_unknown` matchups have a response of an unknown model, `n_alike` two of the same model."""

    relations: tuple[Relation, ...]
    self_preference: tuple[SelfPreference, ...]
    models: tuple[ModelRecord, ...]
    n_unknown: int
    n_alike: int


@dataclass(slots=True)
class OwnershipTally:
    """Counts matchup by matchup."""

    judges: Sequence[str]
    composer: Composer
    relations: dict[tuple[str, str], RelationKind | None] = field(
        default_factory=dict[tuple[str, str], RelationKind | None]
    )
    own: dict[tuple[str, RelationKind], GrowingColumns] = field(
        default_factory=lambda: defaultdict(
            lambda: GrowingColumns(units="q", winners="b", labels="b", own="b")
        )
    )
    by_model: dict[str, GrowingColumns] = field(
        default_factory=lambda: defaultdict(lambda: GrowingColumns(units="q", points="f"))
    )
    n_unknown: int = 0
    n_alike: int = 0

    def add(self, unit: int, group: Group, matchup: JudgedMatchup, label: Label | None) -> None:
        a, b = (group.candidates[i].model for i in (matchup.first, matchup.second))
        for judge in self.judges:
            for model in (a, b):
                if model and (judge, model) not in self.relations:
                    self.relations[judge, model] = model_relation(judge, model)
        if not a or not b:
            self.n_unknown += 1
            return
        if a == b:
            self.n_alike += 1
            return
        points = _POINTS.get(matchup.verdict.outcome)
        if points is not None:
            for model, share in ((a, points), (b, 1 - points)):
                self.by_model[model].add(unit, share)
        for judge in self.judges:
            # Of an ensemble each judge is measured by its own part of the verdict: the others may
            # outvote a judge that favours itself.
            parts = [each for each in matchup.verdict.principle_verdicts if each.judge == judge]
            if not parts:
                continue
            winner = SIDES.get(self.composer.verdict(parts).outcome, 0)
            relation_a, relation_b = self.relations[judge, a], self.relations[judge, b]
            # 1 where only A is the judge's own, −1 where only B is, 0 where both or neither are
            own_sides: dict[RelationKind, int] = {
                "same": (relation_a == "same") - (relation_b == "same"),
                "family": (relation_a is not None) - (relation_b is not None),
            }
            for relation, own_side in own_sides.items():
                if own_side:
                    self.own[judge, relation].add(unit, winner, SIDES.get(label or "", 0), own_side)

    def report(self, seed: int) -> Ownership:
        records: list[ModelRecord] = []
        for name, each in self.by_model.items():
            points = each.floats("points")
            wins = share_estimate(points, np.ones(len(each)), each.integers("units"), seed)
            records.append(ModelRecord(name, wins))
        return Ownership(
            tuple(
                Relation(judge, model, relation)
                for (judge, model), relation in self.relations.items()
                if relation is not None
            ),
            tuple(
                SelfPreference(judge, relation, win_share(columns, "own", seed))
                for (judge, relation), columns in self.own.items()
            ),
            tuple(records),
            self.n_unknown,
            self.n_alike,
        )
