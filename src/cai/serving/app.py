"""The reward server as a FastAPI app: its routes, what guards every request, and its errors.

All items of all requests are scored concurrently; what batches them is behind the `Rewarder`. Every
error has the same body, an `ErrorResponse`: one sentence, and the id of the request.
"""

import asyncio
import hmac
import logging
import re
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cai.errors import CaiError, SourceError
from cai.serving.chat_format import ChatFormat, split_query
from cai.serving.fair_queue import FairQueue
from cai.serving.rewarder import Rewarder
from cai.serving.schema import (
    ERRORS,
    UNSCORED_ERRORS,
    VERSION,
    CompareItem,
    CompareRequest,
    CompareResponse,
    CompareResult,
    ErrorResponse,
    Health,
    RewardRequest,
    RewardResponse,
    ScoreRequest,
    ScoreResponse,
    ScoreResult,
)
from cai.types import Prompt

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 2**20
MAX_BYTES_IN_FLIGHT = 256 * 2**20  # of all bodies; parsed they take some times as much memory
MAX_CHARACTERS = 1_000_000  # of a prompt and its responses; more is not even tokenized
BODY_S = 60.0  # how long a body may take to arrive
_DISCARD_S = 10  # how long the rest of a refused body is read
_SAFE_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)
_SENTENCES = {
    400: "The body is not JSON. See /openapi.json.",
    404: "There is no such path. The paths are in /openapi.json.",
    405: "The path does not take this method. The methods are in /openapi.json.",
    408: "The body took too long to arrive. Send the request again.",
    413: "The body is too large. Send fewer items at a time.",
    503: "Too many requests are in flight. Send this one again later.",
}
"""What is said in place of the bare reasons of FastAPI, by status."""


@dataclass(slots=True)
class Traffic:
    """Counts since the start: items scored and not scored, requests in flight and refused."""

    n_scored: int = 0
    n_unscored: int = 0
    n_in_flight: int = 0
    n_refused: int = 0
    n_bytes: int = 0

    def count(self, are_scored: Iterable[bool]) -> None:
        for is_scored in are_scored:
            self.n_scored += is_scored
            self.n_unscored += not is_scored

    def __str__(self) -> str:
        return (
            f"{self.n_scored:,} scored, {self.n_unscored:,} not scored, "
            f"{self.n_in_flight} requests in flight, {self.n_refused:,} refused"
        )


@dataclass(frozen=True, slots=True)
class Service:
    """A rewarder and how it is offered; its methods are the endpoints of `create_app`.

    `key` is what clients must send, "" for none. `chat_format` is that of the policy's prompts.
    `substitute` is the reward that OpenRLHF gets for a response that was not scored; if it is None,
    the request is refused. `scores_partial` scores and compares empty and cut-off responses too:
    without it they have no reward, since nothing (or the better half) may earn more than an honest
    refusal.
    `hosts` are the names that requests may address, without ports; none stands for all.
    """

    rewarder: Rewarder
    key: str = field(default="", repr=False)
    chat_format: ChatFormat | None = None
    substitute: float | None = None
    scores_partial: bool = False
    hosts: frozenset[str] = frozenset()
    traffic: Traffic = field(default_factory=Traffic)
    queue: FairQueue = field(default_factory=FairQueue)

    async def health(self) -> Health:
        """Whether the server is up, and what it scores with."""
        return self.rewarder.health

    async def score(self, request: ScoreRequest) -> ScoreResponse:
        """The reward of each response, or null with the reason."""
        caller = object()
        scores = await asyncio.gather(
            *(
                self._score(caller, each.to_prompt(), each.response, each.is_truncated)
                for each in request.items
            )
        )
        self.traffic.count(each.reward is not None for each in scores)
        return ScoreResponse(scores=tuple(scores))

    async def compare(self, request: CompareRequest) -> CompareResponse:
        """The probability that response A is better, for each pair, or null with the reason."""
        caller = object()
        comparisons = await asyncio.gather(*(self._compare(caller, each) for each in request.items))
        self.traffic.count(each.p_a is not None for each in comparisons)
        return CompareResponse(comparisons=tuple(comparisons))

    async def get_reward(self, request: RewardRequest) -> RewardResponse:
        """The rewards as OpenRLHF asks a remote reward model for them."""
        # Every query is split before the first is scored: one bad query refuses the request, and
        # judge calls for the others would be wasted.
        pairs = [
            split_query(query, prompt, self.chat_format)
            for query, prompt in zip(request.query, request.prompts, strict=True)
        ]
        caller = object()
        scores = await asyncio.gather(*(self._score(caller, *pair) for pair in pairs))
        is_scored = tuple(each.reward is not None for each in scores)
        self.traffic.count(is_scored)
        rewards: list[float] = []
        for each in scores:
            # OpenRLHF reads numbers alone. A number that nobody chose would be trained on as if it
            # were a reward, so without a substitute the whole request fails.
            reward = self.substitute if each.reward is None else each.reward
            if reward is None:
                sentence = f"A response was not scored: {each.outcome}. {each.reason}".strip()
                raise HTTPException(503 if each.outcome == "failed" else 422, sentence)
            rewards.append(reward)
        logs = {"scored": tuple(map(float, is_scored))}
        return RewardResponse(rewards=tuple(rewards), scores=tuple(rewards), extra_logs=logs)

    async def _score(
        self, caller: object, prompt: Prompt, response: str, is_truncated: bool = False
    ) -> ScoreResult:
        if reason := self._reason_unscored(prompt, {"response": (response, is_truncated)}):
            return ScoreResult(reward=None, outcome="unscored", reason=reason)
        async with self.queue.turn(caller):
            return await self.rewarder.score(prompt, response)

    async def _compare(self, caller: object, item: CompareItem) -> CompareResult:
        prompt, a, b = item.to_prompt(), item.response_a, item.response_b
        responses = {"response A": (a, item.is_truncated_a), "response B": (b, item.is_truncated_b)}
        if reason := self._reason_unscored(prompt, responses):
            return CompareResult(p_a=None, outcome="unscored", reason=reason)
        async with self.queue.turn(caller):
            return await self.rewarder.compare(prompt, a, b)

    def _reason_unscored(self, prompt: Prompt, responses: Mapping[str, tuple[str, bool]]) -> str:
        """Why responses, by their names, are not even shown to the rewarder; "" where they are.

        Each has its text, and whether that was cut off.
        """
        n = sum(len(message.content) for message in prompt.messages)
        n += sum(len(text) for text, _ in responses.values())
        if n > MAX_CHARACTERS:
            return f"The conversation has {n:,} characters, more than {MAX_CHARACTERS:,}."
        for name, (text, is_truncated) in responses.items():
            if not self.scores_partial and (is_truncated or not text.strip()):
                return f"The {name} is {'cut off' if is_truncated else 'empty'}."
        return ""


def create_app(
    service: Service, max_body_bytes: int = MAX_BODY_BYTES, body_s: float = BODY_S
) -> FastAPI:
    """The app of a service, to be run by `serve` or under another ASGI server.

    Example:
        async with open_rewarder(settings, None, console) as rewarder:
            app = create_app(Service(rewarder))
    """
    app = FastAPI(
        title="cai serve",
        version=VERSION,
        docs_url=None,  # both pages load their scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(RequestGate, service=service, max_body_bytes=max_body_bytes, body_s=body_s)
    # FastAPI's own handlers would write {"detail": …} for the first two.
    for kind in (RequestValidationError, StarletteHTTPException, CaiError):
        app.add_exception_handler(kind, _answer_error)
    app.add_api_route("/health", service.health)
    # The key is checked by the gate; this dependency only puts it into the OpenAPI document.
    key = [Depends(HTTPBearer(auto_error=False))] if service.key else []
    router = APIRouter(dependencies=key, responses=ERRORS)
    router.add_api_route("/score", service.score, methods=["POST"])
    router.add_api_route("/compare", service.compare, methods=["POST"])
    router.add_api_route(
        "/get_reward", service.get_reward, methods=["POST"], responses=UNSCORED_ERRORS
    )
    app.include_router(router)
    return app


class RequestGate:
    """ASGI middleware around every request: its id, the key, the size of its body, the counts.

    The key is checked here and not in a dependency, because FastAPI reads and parses the body
    before it calls dependencies: a client without the key could make the server parse 32 MB.
    """

    def __init__(self, app: ASGIApp, service: Service, max_body_bytes: int, body_s: float) -> None:
        self._app = app
        self._body_s = body_s
        self._service = service
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the lifespan events of other ASGI servers
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("X-Request-ID", "")
        # An id is written to logs and headers, so one with unusual characters is replaced.
        request_id = given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        traffic = self._service.traffic
        n_bytes, has_more_body = 0, True
        latest = asyncio.get_running_loop().time() + self._body_s

        async def receive_limited() -> Message:
            # Counted as it arrives: a chunked body has no Content-Length that could be trusted.
            nonlocal n_bytes, has_more_body
            if not has_more_body:
                return await receive()  # whether the client is still there
            try:
                async with asyncio.timeout_at(latest):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, headers={"Connection": "close"}) from None
            has_more_body = message.get("more_body", False)
            n_new = len(message.get("body", b""))
            n_bytes += n_new
            traffic.n_bytes += n_new
            if n_bytes > self._max_body_bytes:
                raise HTTPException(413)
            if traffic.n_bytes > MAX_BYTES_IN_FLIGHT:
                raise HTTPException(503, headers={"Retry-After": "5"})
            return message

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
                traffic.n_refused += message["status"] >= 400
                if has_more_body and message["status"] < 500 and message["status"] != 408:
                    await _discard_body(receive)
            await send(message)

        async def refuse(status: int, sentence: str) -> None:
            await _error_response(request_id, status, sentence)(scope, receive, send_with_id)

        traffic.n_in_flight += 1
        try:
            if refusal := self._refusal(scope):
                await refuse(*refusal)
            else:
                await self._app(scope, receive_limited, send_with_id)
        except asyncio.CancelledError:  # the shutdown took too long, or was cut short
            await refuse(503, "The server is stopping. Send the request again later.")
            raise
        except Exception:
            logger.exception("request %s failed", request_id)
            await refuse(500, "The server failed to answer this request; its log has the details.")
        finally:
            traffic.n_in_flight -= 1
            traffic.n_bytes -= n_bytes

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and sentence for a request that is refused before its body is read."""
        headers, service = Headers(scope=scope), self._service
        # A page of another site can have its own name lead to this machine (DNS rebinding). Then
        # the browser takes it for ours, but the request names that site.
        host = headers.get("Host", "")
        if service.hosts and _without_port(host) not in service.hosts:
            return 403, "The request addresses another host. Use the address that was announced."
        origin = headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != host:
            return 403, "Pages of other sites may not send requests here."
        if service.key and scope["path"] != "/health":
            # Header values are bytes that Starlette reads as Latin-1; the key is compared as bytes
            # in a time that does not depend on where the two differ.
            given = headers.get("Authorization", "").encode("latin-1")
            if not hmac.compare_digest(given, f"Bearer {service.key}".encode()):
                return 401, "The key is missing or wrong."
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            return 415, "Send a JSON object, with the header Content-Type: application/json."
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").lower()


async def _discard_body(receive: Receive) -> None:
    # A connection that is closed with unread data is reset, and a client that is still sending
    # would report that in place of the answer: "connection reset", not "the body is too large".
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            while (await receive()).get("more_body", False):
                pass


async def _answer_error(request: Request, error: Exception) -> JSONResponse:
    request_id = request.state.request_id
    match error:
        case RequestValidationError():
            return _error_response(request_id, 400, _validation_sentence(error))
        case StarletteHTTPException():
            # The bare reason of a status is FastAPI's or ours; a sentence is our own.
            is_bare = error.detail == HTTPStatus(error.status_code).phrase
            known = _SENTENCES.get(error.status_code, error.detail)
            sentence = known if is_bare or error.status_code == 400 else error.detail
            response = _error_response(request_id, error.status_code, sentence)
            response.headers.update(error.headers or {})  # Allow, of a wrong method
            return response
        case SourceError():
            return _error_response(request_id, 400, str(error))
        case _:
            return _error_response(request_id, 500, str(error))


def _validation_sentence(error: RequestValidationError) -> str:
    """The first thing that is wrong, with the field: `items.0.response: Field required. …`"""
    first = error.errors()[0]
    # The first part of the location is "body". The input itself is never repeated: it may be long,
    # and it may be what a user of the policy wrote in confidence.
    field = ".".join(map(str, first["loc"][1:]))
    if first["type"] == "json_invalid":
        return f"The body is not JSON: {first['ctx']['error']} at character {field}."
    if not field and first["type"] == "model_attributes_type":
        return "The body is not a JSON object. Send one; see /openapi.json."
    message = first["msg"].removeprefix("Value error, ")
    return f"{field or 'The body'}: {message}. See /openapi.json."


def _error_response(request_id: str, status: int, sentence: str) -> JSONResponse:
    body = ErrorResponse(error=sentence, request_id=request_id)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse(body.model_dump(), status, headers)
