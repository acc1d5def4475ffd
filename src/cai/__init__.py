"""Constitutional AI and RLAIF: from a constitution to trained policies.

A name is imported when it is first used, not with the package: every command imports the package,
and `cai --help` answers in a fraction of the time without what it does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cai.constitution.loader import load_constitution
    from cai.constitution.schema import Constitution, Principle
    from cai.data.prompts import PromptSource
    from cai.engine.budget import Caps
    from cai.errors import CaiError
    from cai.evaluation.policies.evaluate import evaluate
    from cai.evaluation.policies.plan import EvaluationPlan
    from cai.evaluation.policies.results import Evaluation
    from cai.export.mix_spec import Mix, Mixing
    from cai.export.selection import Selection
    from cai.methods.judging.pairwise import Judge, judge
    from cai.methods.judging.pointwise import Scored, score
    from cai.methods.judging.verdict import Comparison, Verdict
    from cai.methods.revision import (
        Chain,
        RevisionRoles,
        Round,
        revise,
        revise_chain,
        revision_roles,
    )
    from cai.methods.roles import RoleModel
    from cai.methods.sampling import Samples, sample
    from cai.methods.settings import JudgeSettings, ReviseSettings, ScoreSettings
    from cai.models.base import Choice, ChoiceModel, Completion, Model, Sampling, Usage
    from cai.models.registry import open_model
    from cai.models.scripted import ScriptedModel
    from cai.report.build import write_report
    from cai.rounds.controller import run_rounds
    from cai.rounds.state import Series
    from cai.run import Run
    from cai.runs.options import Pace, Part
    from cai.templates import TemplateSet, load_templates
    from cai.training.data.load import TrainingData, load_training_data
    from cai.training.plan import LabelPlan, TrainPlan
    from cai.training.reward_model.conditioning import ConditionPlan
    from cai.training.reward_model.model import RewardModel
    from cai.training.rewards.judges import GroupPlan
    from cai.training.rewards.spec import (
        JudgeChoice,
        Penalties,
        RewardChoice,
        ScoreChoice,
        TrainedChoice,
    )
    from cai.training.run import Trained, train
    from cai.types import Message, Prompt, user_prompt

__all__ = [
    "CaiError",
    "Caps",
    "Chain",
    "Choice",
    "ChoiceModel",
    "Comparison",
    "Completion",
    "ConditionPlan",
    "Constitution",
    "Evaluation",
    "EvaluationPlan",
    "GroupPlan",
    "Judge",
    "JudgeChoice",
    "JudgeSettings",
    "LabelPlan",
    "Message",
    "Mix",
    "Mixing",
    "Model",
    "Pace",
    "Part",
    "Penalties",
    "Principle",
    "Prompt",
    "PromptSource",
    "ReviseSettings",
    "RevisionRoles",
    "RewardChoice",
    "RewardModel",
    "RoleModel",
    "Round",
    "Run",
    "Samples",
    "Sampling",
    "ScoreChoice",
    "ScoreSettings",
    "Scored",
    "ScriptedModel",
    "Selection",
    "Series",
    "TemplateSet",
    "TrainPlan",
    "Trained",
    "TrainedChoice",
    "TrainingData",
    "Usage",
    "Verdict",
    "evaluate",
    "judge",
    "load_constitution",
    "load_templates",
    "load_training_data",
    "open_model",
    "revise",
    "revise_chain",
    "revision_roles",
    "run_rounds",
    "sample",
    "score",
    "train",
    "user_prompt",
    "write_report",
]

_HOMES = {
    "CaiError": "cai.errors",
    "Caps": "cai.engine.budget",
    "Chain": "cai.methods.revision",
    "Choice": "cai.models.base",
    "ChoiceModel": "cai.models.base",
    "Comparison": "cai.methods.judging.verdict",
    "Completion": "cai.models.base",
    "ConditionPlan": "cai.training.reward_model.conditioning",
    "Constitution": "cai.constitution.schema",
    "Evaluation": "cai.evaluation.policies.results",
    "EvaluationPlan": "cai.evaluation.policies.plan",
    "GroupPlan": "cai.training.rewards.judges",
    "Judge": "cai.methods.judging.pairwise",
    "JudgeChoice": "cai.training.rewards.spec",
    "JudgeSettings": "cai.methods.settings",
    "LabelPlan": "cai.training.plan",
    "Message": "cai.types",
    "Mix": "cai.export.mix_spec",
    "Mixing": "cai.export.mix_spec",
    "Model": "cai.models.base",
    "Pace": "cai.runs.options",
    "Part": "cai.runs.options",
    "Penalties": "cai.training.rewards.spec",
    "Principle": "cai.constitution.schema",
    "Prompt": "cai.types",
    "PromptSource": "cai.data.prompts",
    "ReviseSettings": "cai.methods.settings",
    "RewardChoice": "cai.training.rewards.spec",
    "RewardModel": "cai.training.reward_model.model",
    "Round": "cai.methods.revision",
    "Run": "cai.run",
    "Samples": "cai.methods.sampling",
    "Sampling": "cai.models.base",
    "ScoreChoice": "cai.training.rewards.spec",
    "ScoreSettings": "cai.methods.settings",
    "Scored": "cai.methods.judging.pointwise",
    "ScriptedModel": "cai.models.scripted",
    "Selection": "cai.export.selection",
    "Series": "cai.rounds.state",
    "RoleModel": "cai.methods.roles",
    "RevisionRoles": "cai.methods.revision",
    "TemplateSet": "cai.templates",
    "TrainPlan": "cai.training.plan",
    "Trained": "cai.training.run",
    "TrainedChoice": "cai.training.rewards.spec",
    "TrainingData": "cai.training.data.load",
    "Usage": "cai.models.base",
    "Verdict": "cai.methods.judging.verdict",
    "evaluate": "cai.evaluation.policies.evaluate",
    "judge": "cai.methods.judging.pairwise",
    "load_constitution": "cai.constitution.loader",
    "load_templates": "cai.templates",
    "load_training_data": "cai.training.data.load",
    "open_model": "cai.models.registry",
    "revise": "cai.methods.revision",
    "revise_chain": "cai.methods.revision",
    "run_rounds": "cai.rounds.controller",
    "sample": "cai.methods.sampling",
    "score": "cai.methods.judging.pointwise",
    "revision_roles": "cai.methods.revision",
    "train": "cai.training.run",
    "user_prompt": "cai.types",
    "write_report": "cai.report.build",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
