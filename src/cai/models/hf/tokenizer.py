"""Requests and options → token ids. Control tokens come from the chat template only.

A tokenizer parses the text of a control token anywhere, so a dataset row that holds `<|im_end|>`
could end its own turn and open a system turn. Here every content is split inside each such text,
and the pieces are encoded separately: the model sees the same characters, but no control token.
Text without them is encoded exactly as `apply_chat_template` does.

An option of a choice is one token in several forms, or several tokens. "A" may come as "A", " A" or
"(A", whose probabilities are added. "10" may come as "1", "0": then the token "1" counts as the
option "1" only with the probability that nothing follows which makes it a longer option.

Example:
    ids = encode_request(tokenizer, [Message("user", "What is <|im_end|>?")])
    tree = Speller(tokenizer, network.n_tokens).spell(("A", "B"))
    tree.logprobs(values)  # of each option, from those of the tokens of `tree.steps`
"""

import json
import logging
import math
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Protocol

from jinja2 import TemplateError

from cai.errors import ModelError
from cai.models.base import bare, ends_bare, folded, log_sum_exp
from cai.types import Message, as_dicts

_logger = logging.getLogger(__name__)


class AddedToken(Protocol):
    """A token that a tokenizer matches before it splits a text; `special` ones are never text."""

    @property
    def content(self) -> str: ...

    @property
    def special(self) -> bool: ...


class Tokenizer(Protocol):
    """What is used here of a transformers tokenizer."""

    chat_template: object

    @property
    def bos_token_id(self) -> int | None: ...

    @property
    def eos_token_id(self) -> int | None: ...

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]: ...

    def encode(self, text: str, *, add_special_tokens: bool, verbose: bool) -> list[int]: ...

    def decode(
        self, ids: list[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> str: ...

    def apply_chat_template(
        self, conversation: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> str: ...


def encode_request(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to the model's response, or of one `text` message.

    Raises:
        ModelError: The request is empty or mixes `text` with turns, or the tokenizer has no chat
            template, or the template refuses the conversation.
    """
    if [message.role for message in messages] == ["text"]:
        # Added here and not by `encode`: the pieces are encoded without special tokens, and not
        # every tokenizer that has the beginning-of-text token also puts it in front.
        start = tokenizer.encode("", add_special_tokens=True, verbose=False)[:1]
        opening = start if start == [tokenizer.bos_token_id] else []
        return opening + encode_content(tokenizer, messages[0].content)
    if not messages or any(message.role == "text" for message in messages):
        roles = ", ".join(message.role for message in messages) or "nothing"
        raise ModelError(
            f"The request holds {roles}. Send turns of system, user and assistant, or one 'text'."
        )
    return encode_chat(tokenizer, messages)


def encode_content(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of a text alone: nothing is added, and no control token is parsed in it."""
    cut = secrets.token_hex(16)
    return _encode_pieces(tokenizer, _cut(_dangerous(tokenizer), text, cut).split(cut))


def control_tokens(tokenizer: Tokenizer) -> tuple[str, ...]:
    """Texts of the tokens that a content must not be able to produce, in sorted order.

    Those are the special tokens and the added ones that the chat template itself writes (`<think>`,
    `<tool_call>`). Other added tokens are vocabulary: runs of spaces, words of a domain.
    """
    template = str(tokenizer.chat_template or "")
    names = {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content in template and not token.content.isspace())
    }
    return tuple(sorted(names))


def decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    """The text of the ids, without special tokens and with its spaces as they are."""
    return tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """As `encode_chat`, of a complete conversation: no turn of the assistant is opened."""
    return encode_chat(tokenizer, messages, is_open=False)


def encode_chat(
    tokenizer: Tokenizer, messages: Sequence[Message], *, is_open: bool = True
) -> list[int]:
    """Token ids of a conversation through the tokenizer's own chat template, up to the answer.

    A system turn that the template refuses is folded into the user's next turn, which a warning
    says once.

    Raises:
        ModelError: There is no chat template, or it refuses the conversation.
    """
    if tokenizer.chat_template is None:
        raise ModelError(
            "The request is a conversation, and this model has no chat template. Use the "
            "'transcript' prompts for a base model, or add a chat template to its folder."
        )
    # The mark where to split goes through the template with the contents. It is random, so that no
    # content can hold it, and of letters and digits, which no template escapes.
    cut = secrets.token_hex(16)
    dangerous = _dangerous(tokenizer)

    def rendered(messages: Sequence[Message]) -> str:
        turns = [
            {"role": turn["role"], "content": _cut(dangerous, turn["content"], cut)}
            for turn in as_dicts(messages)
        ]
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=is_open)

    try:
        text = rendered(messages)
    except TemplateError as error:
        text = None
        if any(message.role == "system" for message in messages):
            with suppress(TemplateError):
                text = rendered(folded(messages))
        if text is None:
            roles = ", ".join(message.role for message in messages)
            raise ModelError(
                f"The model's chat template refuses a conversation of the turns {roles}: {error}. "
                "Give it the turns it knows.",
                "chat template",
            ) from error
        _say_folded(str(tokenizer.chat_template))
    return _encode_pieces(tokenizer, text.split(cut))


def bind_arguments(tokenizer: Tokenizer, arguments: Iterable[tuple[str, str]]) -> None:
    """Gives the tokenizer's chat template the values of these arguments, as texts of a spec.

    They stand at its head, so that everything that renders the template has them: true, false and
    numbers are what they say, everything else is a text.

    Raises:
        ModelError: The template has no such argument.
    """
    template = tokenizer.chat_template
    for name, value in arguments:
        if not isinstance(template, str) or not re.search(rf"\b{re.escape(name)}\b", template):
            raise ModelError(
                f"The model's chat template has no argument {name!r}. Leave it out, or look up in "
                "the template how it is spelled."
            )
        literal = value if re.fullmatch(r"true|false|-?\d+(\.\d+)?", value) else json.dumps(value)
        template = f"{{% set {name} = {literal} %}}\n{template}"
    tokenizer.chat_template = template


@cache
def _say_folded(template: str) -> None:
    """Says once for each template that it has no system turn."""
    _logger.warning(
        "A model's chat template takes no system turn; its text goes to the head of the user's "
        "next turn."
    )


def _dangerous(tokenizer: Tokenizer) -> re.Pattern[str] | None:
    """Matches the first character of every control token in a text, also of overlapping ones."""
    # A one-character token cannot be cut in two; none is known among chat models.
    names = [re.escape(name) for name in control_tokens(tokenizer) if len(name) > 1]
    return re.compile(f"(?=(?:{'|'.join(names)})).", re.DOTALL) if names else None


def _cut(dangerous: re.Pattern[str] | None, text: str, cut: str) -> str:
    return text if dangerous is None else dangerous.sub(lambda first: first.group() + cut, text)


def _encode_pieces(tokenizer: Tokenizer, pieces: Sequence[str]) -> list[int]:
    # Not verbose: a request that is too long gets an error of its own, not a line in the log.
    encoded = [
        tokenizer.encode(piece, add_special_tokens=False, verbose=False)
        for piece in pieces
        if piece
    ]
    return [id for ids in encoded for id in ids]


Ids = tuple[int, ...]

_MAX_CACHED = 1024


@dataclass(frozen=True, slots=True)
class Step:
    """A token of a spelling. It follows the step `parent`, or the request where that is None.

    It is predicted in row number `row`, `from_end` places before the row's end.
    """

    parent: int | None
    token: int
    row: int
    from_end: int


@dataclass(frozen=True, slots=True)
class OptionTree:
    """The spellings of some options as a tree (trie) of steps, parents first.

    `rows` are the token sequences to read after a request so that every step is predicted. Each
    option ends at the steps `ends`; `longer` maps an end to the next ends below it.
    """

    rows: tuple[Ids, ...]
    steps: tuple[Step, ...]
    ends: tuple[tuple[int, ...], ...]
    longer: dict[int, tuple[int, ...]]
    n_longest: int

    @classmethod
    def of(cls, paths: Sequence[Sequence[Ids]]) -> "OptionTree":
        """The tree of the spellings of each option. None is empty, and no two options share one."""
        whole = [path for spellings in paths for path in spellings]
        nodes = sorted({path[:n] for path in whole for n in range(1, len(path) + 1)})
        number = {node: index for index, node in enumerate(nodes)}
        # A row predicts the token after each of its prefixes, so only the longest heads are read:
        # in sorted order a head that another begins with stands right before such a one.
        heads = sorted({node[:-1] for node in nodes})
        rows = [one for one, after in pairwise(heads) if after[: len(one)] != one] + heads[-1:]
        steps: list[Step] = []
        for node in nodes:
            head = node[:-1]
            row = next(n for n, row in enumerate(rows) if row[: len(head)] == head)
            parent = number[head] if head else None
            steps.append(Step(parent, node[-1], row, len(rows[row]) - len(head)))
        longer: dict[int, list[int]] = defaultdict(list)
        for path in whole:
            shorter = (path[:n] for n in range(len(path) - 1, 0, -1) if path[:n] in whole)
            if nearest := next(shorter, None):
                longer[number[nearest]].append(number[path])
        return cls(
            rows=tuple(rows),
            steps=tuple(steps),
            ends=tuple(tuple(number[path] for path in spellings) for spellings in paths),
            longer={end: tuple(others) for end, others in longer.items()},
            n_longest=max(map(len, nodes)),
        )

    def logprobs(self, values: Sequence[float]) -> list[float]:
        """Log-probability of each option, from those of the steps' tokens."""
        totals: list[float] = []
        for step, value in zip(self.steps, values, strict=True):
            totals.append(value if step.parent is None else totals[step.parent] + value)

        def ending(end: int) -> float:
            """Log-probability of the steps up to this one, and that no longer option follows."""
            total = totals[end]
            if total == -math.inf or end not in self.longer:
                return total
            going_on = sum(math.exp(totals[one] - total) for one in self.longer[end])
            # Rounding may bring the share of longer options to 1 or above: then nothing is left.
            return total + math.log1p(-going_on) if going_on < 1 else -math.inf

        return [log_sum_exp([ending(end) for end in ends]) for ends in self.ends]


class Speller:
    """Spells options in the tokens of a model with `n_tokens` logits."""

    def __init__(self, tokenizer: Tokenizer, n_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._n_tokens = n_tokens
        self._singles: dict[str, list[tuple[int, bool]]] = {}
        self._cached: dict[tuple[str, ...], OptionTree] = {}

    def spell(self, options: Sequence[str]) -> OptionTree:
        """All spellings of the options, which have to pass `check_options`.

        Raises:
            ModelError: The tokenizer has no tokens for an option, or the same for two of them.
        """
        cached = self._cached.get(tuple(options))
        if cached is not None:
            return cached
        plain = [tuple(encode_content(self._tokenizer, option)) for option in options]
        paths = [
            {one, *((token,) for token, _ in self._single(option)), *self._longer(one, options)}
            for option, one in zip(options, plain, strict=True)
        ]
        taken: dict[Ids, str] = {}
        for option, spellings in zip(options, paths, strict=True):
            for path in spellings:
                if not path or taken.setdefault(path, option) != option:
                    same = f"the option {taken[path]!r}" if path else "nothing"
                    raise ModelError(
                        f"For this model the option {option!r} is the same as {same}. "
                        "Name the options in texts that its tokenizer tells apart."
                    )
        # a run has few sets of options; one with ever new ones must not fill the memory
        if len(self._cached) >= _MAX_CACHED:
            self._cached.clear()
        tree = OptionTree.of([sorted(spellings) for spellings in paths])
        self._cached[tuple(options)] = tree
        return tree

    def _longer(self, plain: Ids, options: Sequence[str]) -> set[Ids]:
        """The spellings of an option that begin with another option, in any spelling of that one.

        Where "10" is "1", "0", it is also " 1", "0".
        """
        spellings: set[Ids] = set()
        for n in range(1, len(plain)):
            prefix = bare(decode(self._tokenizer, list(plain[:n])))
            if prefix in options:
                # Not after "1.", say: a sign at the end closes the shorter option.
                spellings |= {
                    (token, *plain[n:]) for token, is_open in self._single(prefix) if is_open
                }
        return spellings

    def _single(self, option: str) -> list[tuple[int, bool]]:
        """The tokens that are the option alone, and of each whether the text may still go on."""
        if not self._singles:  # decodes the whole vocabulary, once for all options
            by_text: dict[str, list[tuple[int, bool]]] = defaultdict(list)
            for token in range(self._n_tokens):
                text = decode(self._tokenizer, [token])
                if option_text := bare(text):
                    by_text[option_text].append((token, ends_bare(text)))
            self._singles = by_text
        return self._singles.get(option, [])
