"""Constitutional AI and RLAIF: from a constitution to revised and judged data.

A name is imported when it is first used, not with the package: every command imports the package,
and `cai --help` answers in a fraction of the time without what it does not need.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cai.constitution.loading import load_constitution
    from cai.constitution.schema import Constitution, Principle
    from cai.engine.spending.gate import Caps
    from cai.errors import CaiError
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
    from cai.revision import (
        Chain,
        RevisionPlan,
        Round,
        Speakers,
        revise,
        revise_chain,
        speakers_of,
    )
    from cai.run import Run
    from cai.sampling import Samples, sample
    from cai.speaker import Speaker
    from cai.types import Message, Prompt, user_prompt

__all__ = [
    "CaiError",
    "Caps",
    "Chain",
    "Choice",
    "ChoiceModel",
    "Comparison",
    "Completion",
    "Constitution",
    "Judge",
    "JudgePlan",
    "Message",
    "Mix",
    "Mixing",
    "Model",
    "Pace",
    "Part",
    "Principle",
    "Prompt",
    "PromptSource",
    "RevisionPlan",
    "Round",
    "Run",
    "Samples",
    "Sampling",
    "ScorePlan",
    "Scored",
    "ScriptedModel",
    "Selection",
    "Speaker",
    "Speakers",
    "TemplateSet",
    "Usage",
    "Verdict",
    "judge",
    "load_constitution",
    "load_templates",
    "open_model",
    "revise",
    "revise_chain",
    "sample",
    "score",
    "speakers_of",
    "user_prompt",
]

_HOMES = {
    "CaiError": "cai.errors",
    "Caps": "cai.engine.spending.gate",
    "Chain": "cai.revision",
    "Choice": "cai.models.protocol",
    "ChoiceModel": "cai.models.protocol",
    "Comparison": "cai.judging.comparisons",
    "Completion": "cai.models.protocol",
    "Constitution": "cai.constitution.schema",
    "Judge": "cai.judging.judge",
    "JudgePlan": "cai.judging.judge",
    "Message": "cai.types",
    "Mix": "cai.export.mixes",
    "Mixing": "cai.export.mixes",
    "Model": "cai.models.protocol",
    "Pace": "cai.jobs.pace",
    "Part": "cai.jobs.pace",
    "Principle": "cai.constitution.schema",
    "Prompt": "cai.types",
    "PromptSource": "cai.jobs.prompt_source",
    "RevisionPlan": "cai.revision",
    "Round": "cai.revision",
    "Run": "cai.run",
    "Samples": "cai.sampling",
    "Sampling": "cai.models.protocol",
    "ScorePlan": "cai.judging.scoring",
    "Scored": "cai.judging.scoring",
    "ScriptedModel": "cai.models.scripted",
    "Selection": "cai.export.selecting",
    "Speaker": "cai.speaker",
    "Speakers": "cai.revision",
    "TemplateSet": "cai.prompts",
    "Usage": "cai.models.protocol",
    "Verdict": "cai.judging.verdicts",
    "judge": "cai.judging.judge",
    "load_constitution": "cai.constitution.loading",
    "load_templates": "cai.prompts",
    "open_model": "cai.models.opening",
    "revise": "cai.revision",
    "revise_chain": "cai.revision",
    "sample": "cai.sampling",
    "score": "cai.judging.scoring",
    "speakers_of": "cai.revision",
    "user_prompt": "cai.types",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
