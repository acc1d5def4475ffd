"""A training as its card tells it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal, cast

from cai.training.beginning import Begun
from cai.training.card import CardFacts, DataSource, Feedback, Figure
from cai.training.data.loading import TrainingData
from cai.training.data.rows import Provenance
from cai.training.describing import describe_settings
from cai.training.lora import LoraSettings, lora_settings
from cai.training.settings import Settings

_SHOWN = {
    "loss": "loss",
    "accuracy": "pairs put right",
    "rewards/accuracies": "pairs put right",
    "reward": "reward",
    "kl": "KL from the reference",
    "mean_token_accuracy": "tokens put right",
}


def card_facts(begun: Begun, data: TrainingData, figures: Mapping[str, object]) -> CardFacts:
    """All that the card of a finished training tells."""
    return CardFacts(
        path=str(begun.plan.out),
        base_model=begun.plan.model,
        trainer=begun.trainer,
        loss=begun.loss,
        data=list(_sources(data)),
        data_hash=data.content_hash,
        feedback=begun.feedback if begun.feedback.judges else _feedback(data.provenance),
        settings=describe_settings(begun.config, begun.fixed),
        lora=_lora(begun),
        figures=list(_figures(data, figures)),
    )


def _sources(data: TrainingData) -> Iterator[DataSource]:
    mixed = {outcome.mix.file for outcome in data.mixed}
    has_labels = data.kind in ("preference", "kto")
    for name, n in data.counts.items():
        is_people = name in mixed or data.provenance.methods == ("people",)
        labels: Literal["ai", "people", "none"] = "people" if is_people else "ai"
        yield DataSource(name, n, labels if has_labels else "none")


def _feedback(provenance: Provenance) -> Feedback:
    """By what the rows were made; of several constitutions the names together."""
    constitutions = provenance.constitutions
    names = ", ".join(f"{each.name} {each.version}".strip() for each in constitutions)
    return Feedback(
        constitution=names or None,
        constitution_hash=", ".join(each.hash for each in constitutions if each.hash) or None,
        principles=provenance.principle_ids,
        responders=provenance.models,
        judges=provenance.judges,
    )


def _lora(begun: Begun) -> Mapping[str, object] | None:
    settings = begun.plan.settings
    block = (settings if isinstance(settings, Settings) else Settings(settings, {})).block("lora")
    chosen: LoraSettings | None = None if block is None else lora_settings(block)
    return None if chosen is None else cast(dict[str, object], asdict(chosen))


def _figures(data: TrainingData, figures: Mapping[str, object]) -> Iterator[Figure]:
    for part, where in (("train", "last step"), ("evaluation", "held-out rows")):
        found = cast(Mapping[str, Any], figures.get(part) or {})
        n = len(data.evaluation) if part == "evaluation" else None
        for name, shown in _SHOWN.items():
            if name in found:
                yield Figure(f"{shown}, {where}", float(found[name]), n)
    held_out = cast(Mapping[str, Mapping[str, Any]], figures.get("held_out") or {})
    for source, found in held_out.items():
        if found.get("accuracy") is not None:
            yield Figure(f"held-out pairs put right ({source})", found["accuracy"], found["n"])
        yield Figure(f"calibration error ({source})", found["calibration_error"], found["n"])
