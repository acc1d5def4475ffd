"""Constitutional AI and RLAIF: from a constitution to trained policies.

A name is imported when it is first used, not with the package: every command imports the package,
and `cai --help` answers in a fraction of the time without what it does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cai.arena.blocking import evaluate
    from cai.arena.plan import EvaluationPlan
    from cai.constitution.loading import load_constitution
    from cai.constitution.schema import Constitution, Principle
    from cai.engine.spending.gate import Caps
    from cai.errors import CaiError
    from cai.evaluation.policy_report import Evaluation
    from cai.export.mixes import Mix, Mixing
    from cai.export.selecting import Selection
    from cai.jobs.pace import Pace, Part
    from cai.jobs.prompt_source import PromptSource
    from cai.judging.comparisons import Comparison
    from cai.judging.judge import Judge, JudgePlan, judge
    from cai.judging.scoring import Scored, ScorePlan, score
    from cai.judging.verdicts import Verdict
    from cai.models.opening import open_model
    from cai.models.protocol import Choice, ChoiceModel, Completion, Model, Sampling, Usage
    from cai.models.scripted import ScriptedModel
    from cai.prompts import TemplateSet, load_templates
    from cai.report.writing import write_report
    from cai.revision import Chain, RevisionPlan, Round, Speakers, revise, revise_chain, speakers_of
    from cai.rounds.blocking import run_rounds
    from cai.rounds.found import Series
    from cai.run import Run
    from cai.sampling import Samples, sample
    from cai.speaker import Speaker
    from cai.training.carrying_out import Trained
    from cai.training.conditioning import ConditionPlan
    from cai.training.data.loading import TrainingData, load_training_data
    from cai.training.dpo import train_dpo
    from cai.training.kto import train_kto
    from cai.training.labels import LabelPlan
    from cai.training.plan import TrainPlan
    from cai.training.reward import train_reward
    from cai.training.reward_model import RewardModel
    from cai.training.rewards.choice import (
        JudgeChoice,
        Penalties,
        RewardChoice,
        ScoreChoice,
        TrainedChoice,
    )
    from cai.training.rewards.group_judge import GroupPlan
    from cai.training.rl import train_rl
    from cai.training.sft import train_sft
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
    "JudgePlan",
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
    "RevisionPlan",
    "RewardChoice",
    "RewardModel",
    "Round",
    "Run",
    "Samples",
    "Sampling",
    "ScoreChoice",
    "ScorePlan",
    "Scored",
    "ScriptedModel",
    "Selection",
    "Series",
    "Speaker",
    "Speakers",
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
    "run_rounds",
    "sample",
    "score",
    "speakers_of",
    "train_dpo",
    "train_kto",
    "train_reward",
    "train_rl",
    "train_sft",
    "user_prompt",
    "write_report",
]

_HOMES = {
    "CaiError": "cai.errors",
    "Caps": "cai.engine.spending.gate",
    "Chain": "cai.revision",
    "Choice": "cai.models.protocol",
    "ChoiceModel": "cai.models.protocol",
    "Comparison": "cai.judging.comparisons",
    "Completion": "cai.models.protocol",
    "ConditionPlan": "cai.training.conditioning",
    "Constitution": "cai.constitution.schema",
    "Evaluation": "cai.evaluation.policy_report",
    "EvaluationPlan": "cai.arena.plan",
    "GroupPlan": "cai.training.rewards.group_judge",
    "Judge": "cai.judging.judge",
    "JudgeChoice": "cai.training.rewards.choice",
    "JudgePlan": "cai.judging.judge",
    "LabelPlan": "cai.training.labels",
    "Message": "cai.types",
    "Mix": "cai.export.mixes",
    "Mixing": "cai.export.mixes",
    "Model": "cai.models.protocol",
    "Pace": "cai.jobs.pace",
    "Part": "cai.jobs.pace",
    "Penalties": "cai.training.rewards.choice",
    "Principle": "cai.constitution.schema",
    "Prompt": "cai.types",
    "PromptSource": "cai.jobs.prompt_source",
    "RevisionPlan": "cai.revision",
    "RewardChoice": "cai.training.rewards.choice",
    "RewardModel": "cai.training.reward_model",
    "Round": "cai.revision",
    "Run": "cai.run",
    "Samples": "cai.sampling",
    "Sampling": "cai.models.protocol",
    "ScoreChoice": "cai.training.rewards.choice",
    "ScorePlan": "cai.judging.scoring",
    "Scored": "cai.judging.scoring",
    "ScriptedModel": "cai.models.scripted",
    "Selection": "cai.export.selecting",
    "Series": "cai.rounds.found",
    "Speaker": "cai.speaker",
    "Speakers": "cai.revision",
    "TemplateSet": "cai.prompts",
    "TrainPlan": "cai.training.plan",
    "Trained": "cai.training.carrying_out",
    "TrainedChoice": "cai.training.rewards.choice",
    "TrainingData": "cai.training.data.loading",
    "Usage": "cai.models.protocol",
    "Verdict": "cai.judging.verdicts",
    "evaluate": "cai.arena.blocking",
    "judge": "cai.judging.judge",
    "load_constitution": "cai.constitution.loading",
    "load_templates": "cai.prompts",
    "load_training_data": "cai.training.data.loading",
    "open_model": "cai.models.opening",
    "revise": "cai.revision",
    "revise_chain": "cai.revision",
    "run_rounds": "cai.rounds.blocking",
    "sample": "cai.sampling",
    "score": "cai.judging.scoring",
    "speakers_of": "cai.revision",
    "train_dpo": "cai.training.dpo",
    "train_kto": "cai.training.kto",
    "train_reward": "cai.training.reward",
    "train_rl": "cai.training.rl",
    "train_sft": "cai.training.sft",
    "user_prompt": "cai.types",
    "write_report": "cai.report.writing",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
