"""Constitutional AI and RLAIF: from a constitution to trained policies.

A name is imported when it is first used, not with the package: every command imports the package,
and `cai --help` answers in a fraction of the time without what it does not need. A public name
stands twice: for type checkers in `__init__.pyi`, and in `_MODULES` for the interpreter.
"""

from collections.abc import Mapping
from importlib import import_module

_MODULES: Mapping[str, str] = {
    "cai.constitution.loader": "load_constitution",
    "cai.constitution.schema": "Constitution Principle",
    "cai.data.prompts": "PromptSource",
    "cai.engine.budget": "Caps",
    "cai.errors": "CaiError",
    "cai.evaluation.policies.evaluate": "evaluate",
    "cai.evaluation.policies.plan": "EvaluationPlan",
    "cai.evaluation.policies.results": "Evaluation",
    "cai.export.mix_spec": "Mix Mixing",
    "cai.export.selection": "Selection",
    "cai.methods.judging.pairwise": "judge",
    "cai.methods.judging.pointwise": "Scored score",
    "cai.methods.judging.verdict": "Comparison Verdict",
    "cai.methods.revision": "Chain RevisionRoles Round revise revise_chain revision_roles",
    "cai.methods.roles": "Judge RoleModel",
    "cai.methods.sampling": "Samples sample",
    "cai.methods.settings": "JudgeSettings ReviseSettings SampleSettings ScoreSettings",
    "cai.models.base": "Choice ChoiceModel Completion Model Sampling Usage",
    "cai.models.registry": "open_model",
    "cai.models.scripted": "ScriptedModel",
    "cai.report.build": "write_report",
    "cai.rounds.controller": "run_rounds",
    "cai.rounds.state": "Series",
    "cai.run": "Run",
    "cai.runs.options": "Part RunOptions",
    "cai.templates": "TemplateSet load_templates",
    "cai.training.data.load": "TrainingData load_training_data",
    "cai.training.plan": "LabelPlan TrainPlan",
    "cai.training.reward_model.conditioning": "ConditionPlan",
    "cai.training.reward_model.model": "RewardModel",
    "cai.training.rewards.spec": (
        "JudgeRewardSpec ModelRewardSpec PenaltySpec RewardSpec ScoreRewardSpec"
    ),
    "cai.training.run": "Trained train",
    "cai.types": "Message Prompt user_prompt",
}
"""The public names by the module that defines them."""

_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll] the stub lists them


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
