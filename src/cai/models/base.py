"""The interface of a model: requests, completions, choices among options, limits.

The methods use models through the protocols of this module alone; `registry.py` opens a model by
name. Two rules for all implementations are here too: which text counts as an option, and how the
reasoning that a model writes before its answer (`<think>…</think>`) is split off.

Example:
    completion = await model.complete([Message("user", "Hi")], Sampling(temperature=0.7, seed=1))
    completion.text, completion.stop_reason
    if isinstance(model, ChoiceModel):
        choice = await model.choose(messages, ("A", "B"))  # log-probabilities in nats
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from cai.errors import ModelError, UsageError
from cai.types import Conversation, Message

StopReason = Literal["stop", "length", "filtered"]

OPENING, CLOSING = "<think>", "</think>"
# The other marks of models that reason before they answer, where a server leaves them in the text.
_REASONING = (
    (OPENING, CLOSING),  # Qwen, DeepSeek, GLM and most others
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),  # EXAONE
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),  # Magistral
    ("<seed:think>", "</seed:think>"),  # Seed-OSS
    ("◁think▷", "◁/think▷"),  # Kimi-VL
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker, Sky-T1
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<unused94>thought", "<unused95>"),  # MedGemma
)
_LOWER_REASONING = tuple((opening.lower(), closing.lower()) for opening, closing in _REASONING)
_ANSWER_TAGS = (
    ("<answer>", "</answer>"),
    ("<response>", "</response>"),
    ("<|start_response|>", "<|end_response|>"),
    ("<|begin_of_solution|>", "<|end_of_solution|>"),
)
# The channels of gpt-oss, whose answer is in the last one: github.com/openai/harmony. Servers that
# skip special tokens leave "analysis…assistantfinal…" of them.
_HARMONY = re.compile(r"(?P<text>(?:<\|start\|>assistant)?\s*<\|channel\|>.*)", re.DOTALL)
_CHANNEL = re.compile(
    r"<\|channel\|>(\w+)[^<]{0,200}(?:<\|constrain\|>\w+)?<\|message\|>(.*?)"
    r"(?=<\|(?:end|start|return|call|channel)\|>|\Z)",
    re.DOTALL,
)
_BARE_HARMONY = re.compile(
    r"analysis(?=[A-Z\"'(])(?P<thought>.*?)(?:assistantfinal(?P<answer>.*)|\Z)", re.DOTALL
)
_MASS_NOISE = 1e-3  # by which the sum of rounded probabilities may exceed 1
# What may surround an option: one letter comes as the token "A", " A", "(A" or "**A". The last two
# characters stand for a space in the vocabularies of SentencePiece and of byte-level BPE.
_AROUND = " \t\r\n()[]{}\"'`“”‘’*_.:,▁Ġ"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is sampled.

    `temperature` 0 is greedy. `top_k` 0 and `top_p` 1 are off. `stop` strings end the text and are
    not part of it. `seed` alone decides the randomness of this one call: it is derived from (run
    seed, example id, step); None lets the model choose.

    `json_schema` is a JSON Schema as JSON text that the answer should follow; "" is off. Only
    servers with structured output for conversations enforce it, so a reader must expect any text.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    seed: int | None = None
    json_schema: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the model counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer. `reasoning` is what the model wrote before it in a reasoning block."""

    text: str
    stop_reason: StopReason = "stop"
    usage: Usage = Usage()
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Log-probabilities of the options in nats, normalised over the options; same order.

    `mass` is the probability in [0, 1] of all the options together before that; None if unknown.
    With a small one, the model would rather write something else.
    """

    logprobs: tuple[float, ...]
    usage: Usage = Usage()
    mass: float | None = None

    @classmethod
    def normalised(
        cls, logprobs: Iterable[float], usage: Usage = Usage(), mass: float | None = None
    ) -> "Choice":
        """The choice with these log-probabilities, shifted so that probabilities add up to 1.

        Raises:
            ModelError: One of them is not a number, or all options are impossible.
        """
        values = tuple(logprobs)
        total = log_sum_exp(values)
        if not math.isfinite(total):
            listed = ", ".join(f"{value:g}" for value in values)
            raise ModelError(
                f"The log-probabilities of the options are {listed}, which is not a distribution. "
                "The model may overflow: try another data type."
            )
        return cls(tuple(value - total for value in values), usage, mass)


def log_sum_exp(values: Sequence[float]) -> float:
    """The logarithm of the sum of the exponentials, in nats; minus infinity for no values."""
    # the largest is taken out first, since exp of a plain value under- or overflows
    top = max(values, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(sum(math.exp(value - top) for value in values))


def mass_of(logprobs: Sequence[float]) -> float | None:
    """The sum of the probabilities, in [0, 1]; None where they cannot be of one distribution."""
    total = log_sum_exp(logprobs)
    return min(math.exp(total), 1.0) if total <= math.log1p(_MASS_NOISE) else None


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls one server, or a model in process, takes at a time.

    Never more than `calls`; None where it queues them itself, as a model in process does. `start`
    is the number to start with. `timeout_s` is the longest that a call may take, in seconds.
    """

    start: int = 64
    calls: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout_s: float | None = None


class Model(Protocol):
    """Answers a conversation.

    `name` states model and endpoint and is part of the journal key: models that answer differently
    have different names. `complete` raises `ModelUnavailable` for failures that may pass,
    `ContextLengthError` for a request that is too long, another `ModelError` for the rest.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_chat(self) -> bool:
        """Whether it takes conversations; a base model takes only one `text` message."""
        ...

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion: ...

    async def check(self) -> None:
        """Checks before a run that the model can be used.

        Raises:
            ModelError: It cannot; the message says why.
        """
        ...

    async def close(self) -> None:
        """Frees memory and connections; a later call opens them again."""
        ...


@runtime_checkable
class ChoiceModel(Model, Protocol):
    """A model that also gives the probabilities of given answers."""

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice: ...


@runtime_checkable
class LimitedModel(Model, Protocol):
    """A model with limits on its calls."""

    @property
    def limits(self) -> Limits: ...


@runtime_checkable
class SpreadModel(Model, Protocol):
    """A model on one or several servers, each a model of its own that answers the same."""

    @property
    def endpoints(self) -> Sequence[Model]: ...


def bare(text: str) -> str:
    """The text without spaces and punctuation around it: "(A)" is the option "A"."""
    return text.strip(_AROUND)


def ends_bare(text: str) -> bool:
    """Whether nothing closes the text: the next token may then still make a longer option of it."""
    return text == text.rstrip(_AROUND)


def check_options(options: Sequence[str]) -> None:
    """Checks before a choice that its options can be told apart in an answer.

    Raises:
        UsageError: There is none, or two are equal, or one is empty or has signs around it.
    """
    is_plain = all(option and option == bare(option) for option in options)
    if not options or not is_plain or len(set(options)) < len(options):
        raise UsageError(
            f"The options {list(options)!r} cannot be told apart in an answer. "
            "Give distinct letters or words without spaces or punctuation around them."
        )


def until_stop(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop strings."""
    ends = [end for stop in stops if stop and (end := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))]


def folded(messages: Sequence[Message]) -> Conversation:
    """The turns without those of the system, whose text stands at the head of the next user turn.

    For models whose chat template has no system turn. A text after the last user turn is a user
    turn of its own.
    """
    turns: list[Message] = []
    pending: list[str] = []
    for message in messages:
        if message.role == "system":
            pending.append(message.content)
        elif message.role == "user" and pending:
            turns.append(Message("user", "\n\n".join([*pending, message.content])))
            pending.clear()
        else:
            turns.append(message)
    return (*turns, *([Message("user", "\n\n".join(pending))] if pending else []))


def opening_at_end(text: str) -> str:
    """The mark of reasoning that the text ends with, as some chat templates do, or "".

    The answer then begins inside of the block.
    """
    end = text.rstrip().lower()
    return next((opening for opening, _ in _REASONING if end.endswith(opening.lower())), "")


def split_reasoning(text: str) -> tuple[str, str]:
    """The reasoning, without its tags, and the answer; the reasoning is empty when there is none.

    Only a leading block counts: a tag later in the text is part of the answer. A block that is
    never closed was cut short, so all of it is reasoning and the answer is empty. A closing tag on
    a line's edge that nothing opens ends a block that the request had opened.
    """
    opened = text.lstrip()
    if channels := _HARMONY.match(opened):
        said = [match.groups() for match in _CHANNEL.finditer(channels["text"])]
        thought = "\n".join(part.strip() for name, part in said if name != "final")
        return thought, "".join(part for name, part in said if name == "final").strip()
    if bare_channels := _BARE_HARMONY.match(opened):
        return bare_channels["thought"].strip(), (bare_channels["answer"] or "").strip()
    lower = opened.lower()
    for opening, closing in _LOWER_REASONING:
        if lower.startswith(opening):
            rest = opened[len(opening) :]
            end = rest.lower().find(closing)
            if end < 0:
                return rest.strip(), ""
            return rest[:end].strip(), _without_wrapper(rest[end + len(closing) :].lstrip())
    for opening, closing in _LOWER_REASONING:
        end = lower.find(closing)
        if end >= 0 and opening not in lower[:end]:
            answer = opened[end + len(closing) :]
            if lower[:end].endswith("\n") or not answer or answer.startswith("\n"):
                return opened[:end].strip(), _without_wrapper(answer.lstrip())
    return "", text


def _without_wrapper(answer: str) -> str:
    """The answer without the tags that some models put around it after their reasoning."""
    lower = answer.lower()
    for opening, closing in _ANSWER_TAGS:
        if lower.startswith(opening):
            inside = answer[len(opening) :].rstrip()
            return inside[: -len(closing)].strip() if lower.rstrip().endswith(closing) else inside
    return answer
