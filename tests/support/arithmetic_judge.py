"""A judge whose marks and verdicts follow from the text of what it is asked."""

import math
import re
from collections.abc import Sequence

from cai.constitution.schema import Constitution, Principle
from cai.errors import ModelError
from cai.methods.roles import Judge
from cai.methods.settings import JudgeSettings, ScoreSettings
from cai.models.scripted import ScriptedModel
from cai.serving.rewarder import JudgeRewarder, JudgeRewards
from cai.types import Message

RULES = Constitution(
    name="rules",
    principles=(
        Principle(id="kind", text="The response is kind.", weight=3.0),
        Principle(id="short", text="The response is short."),
    ),
)


def log_probabilities(messages: Sequence[Message], options: Sequence[str]) -> tuple[float, ...]:
    """Certain of the mark that the response names; p_a is σ of the difference of the lengths."""
    text = messages[-1].content
    if "refuse me" in text:
        raise ModelError("The server refused the request.")
    if len(options) == 10:
        mark = int(re.findall(r"mark (\d+)", text)[0])
        return tuple(0.0 if each == mark else -50.0 for each in range(1, 11))
    a, b = (re.findall(rf"<response_{side}>\n(.*?)\n</response_{side}>", text)[0] for side in "ab")
    p_a = 1 / (1 + math.exp(len(b) - len(a)))
    return math.log(p_a), math.log(1 - p_a)


MEAN = JudgeSettings(compose="mean")  # whose figures can be worked out by hand


def arithmetic_judge(seed: int = 0) -> tuple[JudgeRewarder, ScriptedModel]:
    """The judge, without an engine, and the model that answers for it."""
    model = ScriptedModel(choices=log_probabilities)
    judges = (Judge.of(model),)
    settings = JudgeRewards((judges[0].role,), RULES, ScoreSettings(), MEAN, seed=seed)
    return JudgeRewarder(judges, settings), model
