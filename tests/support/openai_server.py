"""A local OpenAI-compatible server over a real socket, whose answers a test sets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

Json = dict[str, Any]


@dataclass(frozen=True)
class Received:
    path: str
    body: Json
    headers: dict[str, str]


Reply = Json | web.Response
Replier = Callable[[Received], Reply | Awaitable[Reply]]


class LocalServer:
    """Answers every completion by `reply`, lists `models`, and keeps what it received."""

    def __init__(self, reply: Replier | Reply, models: tuple[str, ...] | web.Response = ("tiny",)):
        self.reply = reply
        self.models = models
        self.received: list[Received] = []
        self.n_open = 0
        self.most_open = 0
        self.n_broken_off = 0

    @property
    def bodies(self) -> list[Json]:
        return [received.body for received in self.received]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> "LocalServer":
        app = web.Application()
        app.router.add_get("/v1/models", self._list)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _list(self, request: web.Request) -> web.Response:
        if isinstance(self.models, web.Response):
            return copied(self.models)
        listed = [{"id": name, "object": "model"} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.path, await request.json(), dict(request.headers))
        self.received.append(received)
        self.n_open += 1
        self.most_open = max(self.most_open, self.n_open)
        try:
            reply = self.reply(received) if callable(self.reply) else self.reply
            if isinstance(reply, Awaitable):
                reply = await reply
        except asyncio.CancelledError:
            self.n_broken_off += 1
            raise
        finally:
            self.n_open -= 1
        return copied(reply) if isinstance(reply, web.Response) else web.json_response(reply)


def copied(response: web.Response) -> web.Response:
    """A response of aiohttp can be sent only once."""
    return web.Response(status=response.status, body=response.body, headers=response.headers)


def chat(content: Any, finish_reason: str | None = "stop", **message: Any) -> Json:
    answered = {"role": "assistant", "content": content, **message}
    return {
        "choices": [{"index": 0, "message": answered, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def chat_logprobs(**logprobs: float) -> Json:
    """A chat answer of one token that shows those tokens as the likeliest."""
    return chat_tokens(list(logprobs.items()))


def chat_tokens(tokens: list[tuple[str, float]]) -> Json:
    top = [{"token": token, "logprob": value} for token, value in tokens]
    answer = chat(tokens[0][0])
    answer["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return answer


def text(content: str, finish_reason: str = "stop", **fields: Any) -> Json:
    return {"choices": [{"index": 0, "text": content, "finish_reason": finish_reason, **fields}]}


def refusal(status: int, message: str, **headers: str) -> web.Response:
    body = {"error": {"message": message, "type": "invalid_request_error"}}
    return web.json_response(body, status=status, headers=headers)
