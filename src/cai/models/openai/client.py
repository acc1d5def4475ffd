"""A model on OpenAI-compatible servers: vLLM, SGLang, llama.cpp, Ollama, TGI, hosted APIs.

A failed call raises one typed error: retries, other servers and lower rates are the engine's. A run
distributes its calls over the `endpoints` itself; a call to the whole model goes to the least busy.
aiohttp and orjson take a fraction of the processor time of an SDK per call.

Example:
    model = HttpModel("my-model", ["http://gpu1:8000/v1", "http://gpu2:8000/v1"])
    await model.check()
    completion = await model.complete([Message("user", "Hi")], Sampling(max_tokens=64))
    await model.close()
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from urllib.parse import urlsplit

from cai.errors import ModelError, ModelUnavailable, NoLogprobs
from cai.models.base import Choice, Completion, Limits, Sampling, check_options
from cai.models.openai.api import read_choice
from cai.models.openai.dialect import OPENAI, Dialect, is_about_logprobs
from cai.models.openai.errors import HttpReply, models_shown, shown
from cai.models.openai.http import (
    CompletionRequest,
    read_completion,
    read_model_names,
    read_top_tokens,
    settled,
)
from cai.models.openai.options import ServerOptions, opened_key
from cai.models.openai.refusals import complaint, failure, refusal_of
from cai.models.openai.servers import Connections, ServerUrl, checked_url
from cai.types import Message

NO_OPTIONS = ServerOptions()
LIMITS = Limits(start=64, calls=256, timeout_s=600)
CHECK_S = 10.0
_OPENAI_URL = "https://api.openai.com/v1"
_UNLIMITED_S = 86_400.0
_MALFORMED = frozenset({400, 422})
# Servers differ in whether they show probabilities before or after temperature and filters: at
# temperature 1 without filters there is no difference.
_CHOOSING = Sampling(temperature=1.0, max_tokens=1)
# With these a field may be at fault; a key, a rate or a server that is away is none.
_MAY_NAME_A_FIELD = frozenset({400, 403, 404, 422, 500, 501})

_logger = logging.getLogger(__name__)


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
        options: ServerOptions = NO_OPTIONS,
    ) -> None:
        key = opened_key(key_env, options)
        urls = urls or (os.environ.get("OPENAI_BASE_URL") or _OPENAI_URL,)
        servers = [ServerUrl(checked_url(url, key)) for url in dict.fromkeys(urls)]
        hosts = [urlsplit(server.url).hostname or "" for server in servers]
        is_hosted = any(f".{host}".endswith(".openai.com") for host in hosts)
        if is_hosted and not key.value:
            raise ModelError(
                f"The environment variable {key_env} is not set, and the OpenAI API wants a key. "
                f"Set {key_env}, or name your own server: openai:{model}@http://HOST:PORT/v1.",
                "refused key",
            )
        self._model = model
        self._options = options
        self._connections = Connections(
            key,
            limits.calls or LIMITS.start,
            headers=options.resolved(options.headers),
            query=options.resolved(options.query),
            max_bytes=options.max_mib * 2**20,
        )
        dialect = OPENAI if is_hosted else Dialect()
        dialect = replace(dialect, is_folded=options.system == "fold")
        self.endpoints = tuple(
            HttpEndpoint(
                model,
                server,
                connections=self._connections,
                dialect=dialect,
                limits=limits,
                is_chat=is_chat,
                options=options,
            )
            for server in servers
        )
        self.is_chat = is_chat

    @property
    def name(self) -> str:
        # sorted: the same servers in another order answer the same, so the journal has to match
        servers = ",".join(sorted(each.name for each in self.endpoints))
        return f"openai:{self._model}@{servers}{self._options.suffix}"

    def __repr__(self) -> str:
        return f"HttpModel({self.name!r})"

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        return await self._least_busy.complete(messages, sampling)

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        """As `HttpEndpoint.choose`."""
        return await self._least_busy.choose(messages, options)

    async def check(self) -> None:
        """As `HttpEndpoint.check`, of every server."""
        for endpoint in self.endpoints:
            await endpoint.check()

    async def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        await self._connections.close()

    @property
    def _least_busy(self) -> "HttpEndpoint":
        return min(self.endpoints, key=lambda each: each.server.load)


class HttpEndpoint:
    """The model of that name on that server. Its own name is the server's address."""

    def __init__(
        self,
        model: str,
        server: ServerUrl,
        connections: Connections,
        dialect: Dialect,
        limits: Limits,
        is_chat: bool,
        options: ServerOptions,
    ) -> None:
        self.server = server
        self.name = server.url.partition("://")[2]
        self.limits = limits
        self.is_chat = is_chat
        self._model = model
        self._connections = connections
        self._dialect = dialect
        self._options = options
        self._timeout_s = limits.timeout_s or _UNLIMITED_S

    async def complete(self, messages: Sequence[Message], sampling: Sampling) -> Completion:
        request = self._request(messages, sampling)
        answer, _ = await self._send(request)
        return read_completion(answer, request)

    async def choose(self, messages: Sequence[Message], options: Sequence[str]) -> Choice:
        """Log-probabilities of the options as first token of the answer.

        Raises:
            UsageError: The options are not distinct texts.
            NoLogprobs: The server gives none, or the first token does not tell the options apart.
        """
        check_options(options)
        request = self._request(messages, _CHOOSING, wants_logprobs=True)
        answer, dialect = await self._send(request)
        tokens, usage = read_top_tokens(answer, request, dialect.n_top)
        return read_choice(tokens, options, f"{self._model} at {answer.url}", usage)

    async def check(self) -> None:
        """Checks as `Model.check` that the server can be reached and has the model."""
        try:
            answer = await self._connections.send(self.server, "/models", CHECK_S)
        except ModelUnavailable as error:
            # final: before a run, a server that is missing is more often a wrong URL than an outage
            raise ModelError(str(error), error.cause) from None
        if answer.status in (401, 403):
            raise failure(answer)
        listed = read_model_names(answer) if answer.status == 200 else []
        # an empty list says nothing: some servers list no models, or not under this path
        if listed and self._model not in listed and await self._refuses():
            raise ModelError(
                f"{self.server.url} has no model {self._model!r}. It has {models_shown(listed)}; "
                "name one of those."
            )

    async def close(self) -> None:
        """Closes the connections, which it shares with the other servers of its model."""
        await self._connections.close()

    def _request(
        self, messages: Sequence[Message], sampling: Sampling, *, wants_logprobs: bool = False
    ) -> CompletionRequest:
        body = self._options.body
        return CompletionRequest(self._model, tuple(messages), sampling, wants_logprobs, body)

    async def _send(self, request: CompletionRequest) -> tuple[HttpReply, Dialect]:
        """The server's answer, and the dialect that it understood."""
        # A local copy of the dialect: calls run side by side, and each must read its own answer in
        # the dialect it was sent in.
        dialect = self._dialect
        while True:
            answer = settled(
                await self._connections.send(
                    self.server, request.path, self._timeout_s, request.body(dialect)
                )
            )
            if answer.status == 200:
                self._learn(dialect)
                return answer, dialect
            simpler = self._simpler(dialect, answer, request)
            if simpler is None:
                break
            dialect = simpler
        said = complaint(answer)
        if (
            request.wants_logprobs
            and answer.status in _MAY_NAME_A_FIELD
            and is_about_logprobs(said)
        ):
            raise NoLogprobs(
                f"{answer.url} gives no log-probabilities: '{shown(said.message)}'. "
                "Serve the model with a server that does, or judge by parsed verdicts."
            )
        listed: list[str] = []
        if answer.status == 404:
            with suppress(ModelError):
                models = await self._connections.send(self.server, "/models", CHECK_S)
                listed = read_model_names(models)
        raise failure(answer, listed)

    def _learn(self, dialect: Dialect) -> None:
        """Keeps for later calls what a refusal taught, and says once what that changes."""
        known = self._dialect
        if dialect is known:
            return
        # Calls run side by side, and each may have learnt something else.
        self._dialect = known.merged(dialect)
        for each in self._dialect.learnt_since(known):
            _logger.warning("%s does not take %s.", self.server.url, each)

    def _simpler(
        self, dialect: Dialect, answer: HttpReply, request: CompletionRequest
    ) -> Dialect | None:
        """The dialect to try after a refusal; None where the refusal is of the request itself."""
        if answer.status not in _MAY_NAME_A_FIELD:
            return None
        said = complaint(answer)
        known = refusal_of(answer.status, said.words)
        if known is not None and known.cause == "chat template":
            has_system = any(message.role == "system" for message in request.messages)
            is_new = has_system and not dialect.is_folded and self._options.system == "auto"
            return replace(dialect, is_folded=True) if is_new else None
        if known is not None and known.cause in ("context length", "refused content", "no credit"):
            return None
        return dialect.after(
            said,
            request.sampling,
            wants_logprobs=request.wants_logprobs,
            is_malformed=answer.status in _MALFORMED,
        )

    async def _refuses(self) -> bool:
        """Whether an unlisted model is refused when called: some servers load one on demand."""
        message = Message("user" if self.is_chat else "text", "Hi")
        request = self._request((message,), Sampling(max_tokens=1))
        body = request.body(self._dialect)
        try:
            answer = await self._connections.send(self.server, request.path, CHECK_S, body)
        except ModelUnavailable:
            return False  # it may still be loading the model
        is_refusal = answer.status in {*_MALFORMED, 404}
        return is_refusal and self._simpler(self._dialect, answer, request) is None
