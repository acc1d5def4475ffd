"""The types that every module shares: messages, conversations, prompts; and how seeds are derived.

Example:
    prompt = user_prompt("How do I clean a lamp?", id="7")
    rng = random.Random(derive_seed(run_seed, prompt.id, "revise"))
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MessageRole = Literal["system", "user", "assistant", "text"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    Role `text` is a raw prefix that a model continues without a chat template: a whole transcript,
    for base models. It is always the only message of its request.
    """

    role: MessageRole
    content: str


Conversation = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The input of the policy: a conversation whose last turn is the user's.

    `origin` is its place in the source ("red-team.jsonl:17"), for messages. `metadata` is what else
    its row has, a JSON object as text, which no step reads and every export keeps; "" for nothing.
    """

    id: str
    messages: Conversation
    origin: str = ""
    metadata: str = ""

    @property
    def request(self) -> str:
        """The last user turn."""
        return self.messages[-1].content


def user_prompt(text: str, id: str = "0", origin: str = "") -> Prompt:
    """A single-turn prompt."""
    return Prompt(id, (Message("user", text),), origin)


def derive_seed(*parts: str | int) -> int:
    """A seed in [0, 2**31) that depends on nothing but its parts.

    Every random choice draws its seed from (run seed, example id, step), so that neither the order
    in which examples finish nor a resume changes what an example becomes.
    """
    encoded = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big") >> 33


def content_hash(*parts: str) -> str:
    """Twelve hex digits over the parts, in order; for provenance, not for security."""
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        # Each with its length, so that ("ab", "c") and ("a", "bc") differ.
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The `[{"role": …, "content": …}]` form that chat templates, servers and trainers read."""
    return [{"role": message.role, "content": message.content} for message in messages]
