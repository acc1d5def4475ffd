"""Constitutional AI and RLAIF: from a constitution to revised and judged data."""

from cai.constitution.loading import load_constitution
from cai.constitution.schema import Constitution, Principle
from cai.errors import CaiError
from cai.models.opening import open_model
from cai.models.protocol import Choice, ChoiceModel, Completion, Model, Sampling, Usage
from cai.models.scripted import ScriptedModel
from cai.prompts import TemplateSet, load_templates
from cai.revision import (
    Chain,
    RevisionPlan,
    Round,
    Speaker,
    Speakers,
    revise,
    revise_chain,
    speakers_of,
)
from cai.run import Run
from cai.types import Message, Prompt, user_prompt

__all__ = [
    "CaiError",
    "Chain",
    "Choice",
    "ChoiceModel",
    "Completion",
    "Constitution",
    "Message",
    "Model",
    "Principle",
    "Prompt",
    "RevisionPlan",
    "Round",
    "Run",
    "Sampling",
    "ScriptedModel",
    "Speaker",
    "Speakers",
    "TemplateSet",
    "Usage",
    "load_constitution",
    "load_templates",
    "open_model",
    "revise",
    "revise_chain",
    "speakers_of",
    "user_prompt",
]
