"""The rows of training, and what is known of where they come from."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from cai.export.rows import PreferencePair, Unit, models_of


@dataclass(frozen=True, slots=True)
class TrainingRow:
    """A unit, the run or file that it comes from, and how probable it is that its label is right.

    `confidence` is in [0.5, 1]: of a judged pair its probability, of people's labels that of the
    row or of its source, and 1 where nobody says anything.
    """

    unit: Unit
    source: str
    confidence: float = 1.0

    @classmethod
    def of_run(cls, unit: Unit, source: str) -> "TrainingRow":
        probability = unit.chosen_probability if isinstance(unit, PreferencePair) else None
        return cls(unit, source, 1.0 if probability is None else probability)


@dataclass(frozen=True, slots=True, order=True)
class ConstitutionName:
    """A constitution that rows were made with; version and hash are "" where nobody says them."""

    name: str
    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made the rows, as far as runs and rows tell: each once, sorted.

    `methods` are those of `cai`, and "people" for files that no run wrote. `models` gave the
    responses, `judges` the verdicts and scores.
    """

    methods: tuple[str, ...] = ()
    constitutions: tuple[ConstitutionName, ...] = ()
    models: tuple[str, ...] = ()
    judges: tuple[str, ...] = ()
    principle_ids: tuple[str, ...] = ()

    def joined(self, other: "Provenance") -> "Provenance":
        """What both tell."""
        return Provenance(
            _sorted(self.methods + other.methods),
            tuple(sorted({*self.constitutions, *other.constitutions})),
            _sorted(self.models + other.models),
            _sorted(self.judges + other.judges),
            _sorted(self.principle_ids + other.principle_ids),
        )


@dataclass(slots=True)
class Told:
    """What the rows read so far tell of where they come from."""

    methods: set[str] = field(default_factory=set[str])
    constitutions: set[ConstitutionName] = field(default_factory=set[ConstitutionName])
    models: set[str] = field(default_factory=set[str])
    judges: set[str] = field(default_factory=set[str])
    principle_ids: set[str] = field(default_factory=set[str])

    def add(self, provenance: Mapping[str, object]) -> None:
        """Takes the provenance of a row in the form of exports; what is of another form is let be.

        A principle that is negated, or asked several times, is one principle.
        """
        self.methods |= _texts([provenance.get("method")])
        self.models |= _texts(provenance.get("models"))
        self.principle_ids |= _texts(provenance.get("principle_ids"))
        judges = provenance.get("judges")
        if isinstance(judges, list):
            self.judges |= _texts([_entry(judge, "model") for judge in cast(list[object], judges)])
        constitution = provenance.get("constitution")
        name, *rest = (_entry(constitution, key) for key in ("name", "version", "hash"))
        if isinstance(name, str):
            self.constitutions.add(ConstitutionName(name, *(_text(each) for each in rest)))

    def add_models(self, unit: Unit) -> None:
        self.models |= _texts(models_of(unit))

    @property
    def provenance(self) -> Provenance:
        return Provenance(
            _sorted(self.methods),
            tuple(sorted(self.constitutions)),
            _sorted(self.models),
            _sorted(self.judges),
            _sorted(self.principle_ids),
        )


@dataclass(frozen=True, slots=True)
class SourceRows:
    """The rows of one source, what of it is left out and why, and where the rows come from."""

    rows: list[TrainingRow]
    left_out: Counter[str]
    provenance: Provenance


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _texts(values: object) -> set[str]:
    """The texts of a list that say something."""
    listed = cast(list[object], values) if isinstance(values, list) else []
    return {value for value in listed if isinstance(value, str) and value}


def _entry(value: object, key: str) -> object:
    return cast(dict[str, object], value).get(key) if isinstance(value, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
