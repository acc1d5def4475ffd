"""The HTTP server: routes, who may ask, and how a refusal reads.

Items of all requests are scored at the same time; what batches them is behind the `Rewarder`.

The server from its socket to its end: at SIGTERM or Ctrl-C it finishes what it has, and stops.

A line a minute at most says what it did.
"""

import asyncio
import contextlib
import hmac
import logging
import re
import signal
import socket
import uuid
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel
from rich.console import Console

from cai.errors import CaiError, SourceError, UsageError
from cai.runs.job import SIGNALS
from cai.serving.chat_format import ChatForm, split_query
from cai.serving.judge import Rewarder
from cai.serving.schema import (
    CompareRequest,
    CompareResponse,
    Refusal,
    RewardRequest,
    RewardResponse,
    ScoreRequest,
    ScoreResponse,
    ScoreResult,
    document,
    parsed,
)

logger = logging.getLogger(__name__)

BODY_BYTES = 32 * 2**20
_SAFE_ID = re.compile(r"[\w.-]{1,100}", re.ASCII)

_Route = Callable[[web.Request], Awaitable[web.StreamResponse]]
F = TypeVar("F", bound=BaseModel)


class _Refused(CaiError):
    """An answer with a status of its own."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(slots=True)
class Traffic:
    """What the server did so far: items scored and not, and requests under way and refused."""

    n_scored: int = 0
    n_unscored: int = 0
    n_open: int = 0
    n_refused: int = 0

    def count(self, is_scored: bool) -> None:
        self.n_scored += is_scored
        self.n_unscored += not is_scored


@dataclass(frozen=True, slots=True)
class Service:
    """A rewarder on the network.

    `key` is what clients must show, "" for none. `form` is the policy's chat form. `substitute` is
    what OpenRLHF is told of a response that could not be scored; None refuses its request.
    """

    rewarder: Rewarder
    key: str = field(default="", repr=False)
    form: ChatForm | None = None
    substitute: float | None = None
    traffic: Traffic = field(default_factory=Traffic)

    def app(self, body_bytes: int = BODY_BYTES) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=body_bytes)
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/openapi.json", self._openapi),
                web.post("/score", self._score),
                web.post("/compare", self._compare),
                web.post("/get_reward", self._get_reward),
            ]
        )
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Route) -> web.StreamResponse:
        """Gives the request an id, checks the key, and makes every failure one sentence."""
        given = request.headers.get("X-Request-ID", "")
        id = given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        self.traffic.n_open += 1
        try:
            if not self._may_ask(request):
                raise _Refused(401, "The key is missing or wrong.")
            answer = await handler(request)
        except web.HTTPException as error:
            answer = _refusal(id, error.status, _sentence(error))
            if "Allow" in error.headers:
                answer.headers["Allow"] = error.headers["Allow"]
        except CaiError as error:
            answer = _refusal(id, _status(error), str(error))
        except Exception:
            logger.exception("request %s failed", id)
            answer = _refusal(id, 500, "The server failed at this request; its log says more.")
        finally:
            self.traffic.n_open -= 1
        self.traffic.n_refused += answer.status >= 400
        answer.headers["X-Request-ID"] = id
        return answer

    def _may_ask(self, request: web.Request) -> bool:
        if not self.key or request.path == "/health":
            return True
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.key}".encode())

    async def _health(self, _: web.Request) -> web.Response:
        return _json(self.rewarder.health)

    async def _openapi(self, _: web.Request) -> web.Response:
        return web.json_response(document(has_key=bool(self.key)))

    async def _score(self, request: web.Request) -> web.Response:
        asked = parsed(ScoreRequest, await request.read())
        scores = await asyncio.gather(
            *(self.rewarder.score(each.asked, each.response) for each in asked.items)
        )
        self._count(scores)
        return _json(ScoreResponse(scores=tuple(scores)))

    async def _compare(self, request: web.Request) -> web.Response:
        asked = parsed(CompareRequest, await request.read())
        found = await asyncio.gather(
            *(
                self.rewarder.compare(each.asked, each.response_a, each.response_b)
                for each in asked.items
            )
        )
        for each in found:
            self.traffic.count(each.p_a is not None)
        return _json(CompareResponse(comparisons=tuple(found)))

    async def _get_reward(self, request: web.Request) -> web.Response:
        asked = parsed(RewardRequest, await request.read())
        if len(asked.prompts) != len(asked.query):
            raise SourceError(
                f"There are {len(asked.query)} queries and {len(asked.prompts)} prompts. Send one "
                "prompt for each query."
            )
        pairs = [
            split_query(query, prompt, self.form)
            for query, prompt in zip(asked.query, asked.prompts, strict=True)
        ]
        scores = await asyncio.gather(*(self.rewarder.score(*each) for each in pairs))
        self._count(scores)
        lost = next((each for each in scores if each.reward is None), None)
        if lost is not None and self.substitute is None:
            status = 503 if lost.outcome == "failed" else 422
            raise _Refused(status, f"A response was not scored: {_why(lost)}")
        rewards = tuple(_or(each.reward, self.substitute) for each in scores)
        is_scored = tuple(float(each.reward is not None) for each in scores)
        return _json(
            RewardResponse(rewards=rewards, scores=rewards, extra_logs={"scored": is_scored})
        )

    def _count(self, scores: list[ScoreResult]) -> None:
        for each in scores:
            self.traffic.count(each.reward is not None)


def _or(reward: float | None, substitute: float | None) -> float:
    value = reward if reward is not None else substitute
    assert value is not None  # a request without either was refused
    return value


def _why(lost: ScoreResult) -> str:
    return f"{lost.outcome}. {lost.reason}".strip()


def _json(said: BaseModel) -> web.Response:
    return web.Response(text=said.model_dump_json(), content_type="application/json")


def _status(error: CaiError) -> int:
    if isinstance(error, _Refused):
        return error.status
    return 400 if isinstance(error, SourceError) else 500


def _refusal(id: str, status: int, sentence: str) -> web.Response:
    said = Refusal(error=sentence, request_id=id)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return web.Response(
        text=said.model_dump_json(), status=status, content_type="application/json", headers=headers
    )


def _sentence(error: web.HTTPException) -> str:
    known = {
        404: "There is no such path. The paths are in /openapi.json.",
        405: "The path does not take this method. The methods are in /openapi.json.",
        413: "The body is too large. Send fewer items at a time.",
    }
    return known.get(error.status, error.reason)


FINISH_S = 120.0  # how long requests under way may take after the signal
_LINE_EVERY_S = 60.0
_BACKLOG = 1024


def bound(host: str, port: int) -> socket.socket:
    """A socket at that address, taken before a model is loaded.

    Raises:
        UsageError: The address is in use, not of this machine, or not allowed.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"{host}:{port} cannot be served from: {reason}. Choose another --port or --host."
        ) from error


def address_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(
    service: Service, listening: socket.socket, console: Console, *, finish_s: float = FINISH_S
) -> None:
    """Answers until a signal comes; a second one ends at once, with what is under way lost.

    Raises:
        KeyboardInterrupt: The second signal came.
    """
    runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=finish_s)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        console.print(
            f"serving {service.rewarder.health.name} at {address_of(listening)}; Ctrl-C ends",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        telling = asyncio.create_task(_tell(service.traffic, console))
        with _signals(service.traffic, console) as stopped:
            await stopped.wait()
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            await runner.cleanup()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        await runner.cleanup()
        listening.close()


@contextlib.contextmanager
def _signals(traffic: Traffic, console: Console) -> Generator[asyncio.Event]:
    """An event that the first signal sets; the second cancels this task."""
    loop, task, stopped = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def stop() -> None:
        if stopped.is_set() and task is not None:
            task.cancel()
            return
        console.print(
            f"stopping: {traffic.n_open} under way are finished; once more ends at once",
            markup=False,
            soft_wrap=True,
        )
        stopped.set()

    added: list[signal.Signals] = []
    try:
        for each in SIGNALS:
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                loop.add_signal_handler(each, stop)  # not outside the main thread
                added.append(each)
        yield stopped
    finally:
        for each in added:
            loop.remove_signal_handler(each)


async def _tell(traffic: Traffic, console: Console) -> None:
    """A line where something happened in the last minute."""
    before = (0, 0, 0)
    while True:
        await asyncio.sleep(_LINE_EVERY_S)
        now = (traffic.n_scored, traffic.n_unscored, traffic.n_refused)
        if now != before:
            console.print(line_of(traffic), markup=False, highlight=False)
            before = now


def line_of(traffic: Traffic) -> str:
    """What was done since the start, in one line."""
    return (
        f"{traffic.n_scored:,} scored, {traffic.n_unscored:,} not, "
        f"{traffic.n_open} requests under way, {traffic.n_refused:,} refused"
    )
