"""What the simulated model says, how long it takes for it, and which requests meet a fault.

All of it is a function of the request and a seed, so that every client is given the same work. How
long an answer is and takes follows from the first message of the user and the number of answers
before it, and from nothing else: clients that word the later turns differently, or send other
settings, still wait the same seconds in all. The words follow from the whole body.
"""

import math
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from statistics import NormalDist
from typing import Any

import orjson

Json = dict[str, Any]

FAULTS = ("rate", "error", "cut", "truncated", "hang")
MEAN_TOKENS = 60

_SPREAD = math.sqrt(math.log(2))  # of the logarithm: the deviation of a length equals its mean
_N_LENGTHS = 4096
_LONGEST = 4.0  # times the mean
_SENTENCE = (
    "the lamp by the window keeps its light when somebody trims the wick and wipes the glass "
    "before dawn so ask your neighbour first and bring the ladder back with a word of thanks"
)
_N_WORDS = 8192
_SPARE_TOKENS = ("The", " A", " B", "Both", "I", "**", "(", "Neither", "Response", "Verdict")


@dataclass(frozen=True, slots=True)
class Work:
    """One request as the simulated model sees it: `length` is in units of the mean."""

    digest: str
    length: float
    n_prompt_tokens: int
    n_tokens: int
    is_cut: bool
    is_chat: bool
    n_top: int = 0
    p_a: float = 0.5


class Answers:
    """The answers for that seed."""

    def __init__(self, seed: int) -> None:
        self._seed = str(seed).encode()
        self._lengths = _lengths()
        rng = Random(seed)
        words = rng.choices(_SENTENCE.split(), k=_N_WORDS)
        self._text = " ".join(words)
        self._starts = [0]
        for word in words:
            self._starts.append(self._starts[-1] + len(word) + 1)

    def work(self, body: bytes, is_chat: bool) -> Work:
        """What that body asks for.

        Raises:
            ValueError: It is no request for a completion.
        """
        asked = _parsed(body)
        texts, n_turns = _texts(asked, is_chat)
        length = self._lengths[self._hash(texts[0], n_turns) % _N_LENGTHS]
        n_tokens = max(1, round(length * MEAN_TOKENS))
        most = asked.get("max_tokens") or asked.get("max_completion_tokens") or n_tokens
        work = Work(
            blake2b(body, digest_size=8).hexdigest(),
            length,
            sum(text.count(" ") + 1 for text in texts),
            min(n_tokens, most),
            most < n_tokens,
            is_chat,
        )
        n_top = int((asked.get("top_logprobs") if is_chat else asked.get("logprobs")) or 0)
        if not asked.get("logprobs"):
            return work
        p_a = (1 + self._hash("\n".join(texts), n_turns) % 998) / 1000
        return replace(work, n_top=max(n_top, 1), p_a=p_a)

    def reply(self, work: Work) -> bytes:
        """The body of the whole answer; its text begins with the digest of the request."""
        tokens = _likeliest(work) if work.n_top else []
        text = tokens[0][0] if tokens else work.digest
        if work.n_tokens > 1:
            start = int(work.digest[:6], 16) % (_N_WORDS - work.n_tokens)
            end = start + work.n_tokens - 1
            text = f"{text} {self._text[self._starts[start] : self._starts[end] - 1]}."
        choice: Json = {"index": 0, "finish_reason": "length" if work.is_cut else "stop"}
        if work.is_chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        choice["logprobs"] = _logprobs(tokens, work.is_chat) if tokens else None
        return orjson.dumps(
            {
                "id": f"sim-{work.digest}",
                "object": "chat.completion" if work.is_chat else "text_completion",
                "created": 1_700_000_000,
                "model": "sim",
                "choices": [choice],
                "usage": {
                    "prompt_tokens": work.n_prompt_tokens,
                    "completion_tokens": work.n_tokens,
                    "total_tokens": work.n_prompt_tokens + work.n_tokens,
                },
            }
        )

    def fault(self, number: int, share: float, kinds: tuple[str, ...]) -> str | None:
        """The fault that meets the request of that number: the same request later meets another."""
        point = self._hash("fault", number) / 2**64
        return kinds[int(point / share * len(kinds))] if point < share else None

    def _hash(self, text: str, number: int) -> int:
        asked = b"%d %s" % (number, text.encode("utf-8", "replace"))
        return int.from_bytes(blake2b(asked, digest_size=8, key=self._seed).digest(), "big")


def _lengths() -> list[float]:
    """Quantiles of a capped lognormal law, whose mean is 1 exactly."""
    law = NormalDist(0, _SPREAD)
    raw = [math.exp(law.inv_cdf((i + 0.5) / _N_LENGTHS)) for i in range(_N_LENGTHS)]
    mean = sum(raw) / _N_LENGTHS
    capped = [min(length / mean, _LONGEST) for length in raw]
    mean = sum(capped) / _N_LENGTHS
    return [length / mean for length in capped]


def _parsed(body: bytes) -> Json:
    asked = orjson.loads(body)
    if not isinstance(asked, dict):
        raise ValueError("the body is no object")
    if asked.get("stream"):
        raise ValueError("streams are not simulated")
    return asked


def _texts(asked: Json, is_chat: bool) -> tuple[list[str], int]:
    """All texts, beginning with the first of the user, and the number of answers among them."""
    if not is_chat:
        prompt = asked.get("prompt")
        if not isinstance(prompt, str):
            raise ValueError("'prompt' is no text")
        return [prompt], 0
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ValueError("'messages' is no list of messages")
    texts = [_content(message["content"]) for message in messages]
    roles = [message["role"] for message in messages]
    first = roles.index("user") if "user" in roles else 0
    return texts[first:] + texts[:first], roles.count("assistant")


def _content(content: Any) -> str:
    """The text of a message; some clients send it in parts."""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _likeliest(work: Work) -> list[tuple[str, float]]:
    """The letters A and B, to which the most belongs, and tokens that share the small rest."""
    rest = 0.02
    pair = [("A", work.p_a * (1 - rest)), ("B", (1 - work.p_a) * (1 - rest))]
    pair.sort(key=lambda token: -token[1])
    spare = [(token, rest / 2 ** (i + 1)) for i, token in enumerate(_SPARE_TOKENS)]
    tokens = sorted(pair + spare, key=lambda token: -token[1])
    return [(token, round(math.log(p), 6)) for token, p in tokens[: work.n_top]]


def _logprobs(tokens: list[tuple[str, float]], is_chat: bool) -> Json:
    if not is_chat:
        token, value = tokens[0]
        return {"tokens": [token], "token_logprobs": [value], "top_logprobs": [dict(tokens)]}
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in tokens]
    return {"content": [{**top[0], "top_logprobs": top}]}
