"""A model behind OpenAI-compatible servers: vLLM, SGLang, llama.cpp, Ollama, TGI, hosted APIs.

aiohttp and orjson directly: a call costs a fraction of the processor time of an SDK. A run spreads
its calls over the `endpoints` itself; a call to the whole model goes to the least busy of them.
"""

import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from cai.errors import ModelError
from cai.models.openai.apikey import read_key
from cai.models.openai.dialect import OPENAI, Dialect
from cai.models.openai.endpoint import HttpEndpoint
from cai.models.openai.servers import Connections, Server, checked_url
from cai.models.protocol import Choice, Completion, Limits, Sampling
from cai.types import Message

LIMITS = Limits(start=64, calls=256, timeout_s=600)

_OPENAI_URL = "https://api.openai.com/v1"


class HttpModel:
    """The model of that name on the servers at `urls`, each usually ending in /v1.

    Without URLs it is the one in the environment variable OPENAI_BASE_URL, or else the hosted
    OpenAI API. The key is read from the variable `key_env` once, here. The `limits` are those of
    each server; a time-out counts from having a connection to the last byte. A raw text goes to
    /completions, a conversation to /chat/completions.

    Raises:
        UsageError: A URL is not http(s), or carries credentials.
        ModelError: The hosted API is meant and its key is not set.
    """

    def __init__(
        self,
        model: str,
        urls: Sequence[str] = (),
        key_env: str = "OPENAI_API_KEY",
        limits: Limits = LIMITS,
        is_chat: bool = True,
    ) -> None:
        key = read_key(key_env)
        urls = urls or (os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL,)
        servers = [Server(checked_url(url, key)) for url in dict.fromkeys(urls)]
        is_hosted = any(_is_hosted(server) for server in servers)
        if is_hosted and not key.value:
            raise ModelError(
                f"The environment variable {key_env} is not set, and the OpenAI API wants a key. "
                f"Set {key_env}, or name your own server: openai:{model}@http://HOST:PORT/v1.",
                "refused key",
            )
        self._model = model
        self._connections = Connections(key, limits.calls or LIMITS.start)
        dialect = OPENAI if is_hosted else Dialect()
        self.endpoints = tuple(
            HttpEndpoint(model, server, self._connections, dialect, limits, is_chat)
            for server in servers
        )
        self.is_chat = is_chat

    @property
    def name(self) -> str:
        return f"openai:{self._model}@{','.join(sorted(each.name for each in self.endpoints))}"

    def __repr__(self) -> str:
        return f"HttpModel({self.name!r})"

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return await self._least_busy.complete(messages, sampling)

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        """Log-probabilities of the options as first token of the answer.

        Raises:
            UsageError: The options are not distinct texts.
            NoLogprobs: The server gives none, or the first token does not tell the options apart.
        """
        return await self._least_busy.choose(messages, options)

    async def check(self) -> None:
        """Find out before a run whether every server can be reached and has the model.

        Raises:
            ModelError: One cannot be used; the message says which and why.
        """
        for endpoint in self.endpoints:
            await endpoint.check()

    async def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._connections.close()

    @property
    def _least_busy(self) -> HttpEndpoint:
        return min(self.endpoints, key=lambda each: each.server.strain)


def _is_hosted(server: Server) -> bool:
    host = urlsplit(server.url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")
