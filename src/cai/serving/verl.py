"""Reward functions for verl that ask a `cai serve`: one response, a batch, or asynchronously.

verl loads this file by its path (`custom_reward_function.path`), so it needs nothing of the server
but its response models. verl gives a function, beside its own arguments, those of `reward_kwargs`:
`url`, `prompt_key`, `key_env`, `timeout_s` and `unscored`. The prompt is read from `extra_info`,
where the data set must have put it.

Example:
    extra = [{"prompt": "Hello."}] * 2
    compute_scores(["mine"] * 2, ["Good day.", "What?"], [None] * 2, extra, url=URL)
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from typing import cast

import aiohttp
from pydantic import ValidationError

from cai.errors import TrainingError
from cai.serving.schema import MAX_ITEMS, ErrorResponse, ScoreResponse, ScoreResult

URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class RewardServer:
    """Where rewards come from; `unscored` is the reward of a response that was not scored."""

    url: str = URL
    prompt_key: str = "prompt"
    key_env: str | None = None
    timeout_s: float = 600.0
    unscored: float | None = None


VerlScore = dict[str, float]
"""`score` is what verl trains on; `scored` is 1 if it is a reward, 0 if it is a substitute."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, object] | None = None,
    **options: object,
) -> VerlScore:
    """The reward of one response, for verl's `naive` and `dapo` managers.

    Raises:
        TrainingError: There is no prompt, the server does not answer, or it gives no reward and no
            substitute was chosen.
    """
    (score,) = compute_scores(
        [data_source], [solution_str], [ground_truth], [extra_info], **options
    )
    return score


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[object],
    extra_infos: Sequence[Mapping[str, object] | None],
    **options: object,
) -> list[VerlScore]:
    """The rewards of many responses, for verl's `batch` manager; raises as `compute_score`."""
    server = _server(options)
    scores: list[VerlScore] = []
    # The server refuses larger requests, and verl's batches may be larger.
    for start in range(0, len(solution_strs), MAX_ITEMS):
        part = slice(start, start + MAX_ITEMS)
        request = _request(server, solution_strs[part], extra_infos[part])
        scores += _parse(server, *_send(server, request))
    return scores


async def compute_score_async(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, object] | None = None,
    **options: object,
) -> VerlScore:
    """As `compute_score`, for verl's reward loop, which has many calls in flight."""
    server = _server(options)
    request = _request(server, [solution_str], [extra_info])
    (score,) = _parse(server, *await _send_async(server, request))
    return score


def _server(options: Mapping[str, object]) -> RewardServer:
    # Each version of verl adds keyword arguments of its own, so unknown ones are no error here.
    ours = {name: options[name] for name in RewardServer.__dataclass_fields__ if name in options}
    return RewardServer(**ours)  # pyright: ignore[reportArgumentType]: as the configuration says


def _prompt(info: Mapping[str, object] | None, key: str) -> object:
    if info is None or info.get(key) is None:
        raise TrainingError(
            f"extra_info has no {key!r}, and a reward needs the prompt. Put it there when the data "
            "is prepared, or name its column with reward_kwargs.prompt_key."
        )
    prompt = info[key]
    if isinstance(prompt, str):
        return prompt
    # Out of a Parquet file the messages come as a NumPy array of dicts, which JSON cannot encode.
    messages = cast(Iterable[Mapping[str, object]], prompt)
    return [{"role": str(each["role"]), "content": str(each["content"])} for each in messages]


def _request(
    server: RewardServer, responses: Sequence[str], infos: Sequence[Mapping[str, object] | None]
) -> urllib.request.Request:
    items = [
        {"prompt": _prompt(info, server.prompt_key), "response": response}
        for response, info in zip(responses, infos, strict=True)
    ]
    headers = {"Content-Type": "application/json"}
    if server.key_env is not None:
        headers["Authorization"] = f"Bearer {os.environ.get(server.key_env, '')}"
    body = json.dumps({"items": items}).encode()
    return urllib.request.Request(f"{server.url.rstrip('/')}/score", body, headers)


def _send(server: RewardServer, request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=server.timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (OSError, ValueError, HTTPException) as error:  # ValueError: what is no URL
        raise _unreachable(server, error) from error


async def _send_async(server: RewardServer, request: urllib.request.Request) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=server.timeout_s)
    body, headers = cast(bytes, request.data), dict(request.header_items())
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(request.full_url, data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.read()
    except (OSError, ValueError, aiohttp.ClientError) as error:
        raise _unreachable(server, error) from error


def _unreachable(server: RewardServer, error: Exception) -> TrainingError:
    return TrainingError(
        f"{server.url}: no answer from the reward server ({type(error).__name__}: {error}). Start "
        "it: cai serve."
    )


def _parse(server: RewardServer, status: int, body: bytes) -> list[VerlScore]:
    if status != 200:
        try:
            reason = ErrorResponse.model_validate_json(body).error
        except ValidationError:  # of a proxy, or of another server
            reason = body.decode("utf-8", "replace")[:500]
        raise TrainingError(f"{server.url}: the reward server answers {status}: {reason}")
    try:
        scores = ScoreResponse.model_validate_json(body).scores
    except ValidationError as error:
        raise TrainingError(
            f"{server.url}: the answer is not one of `cai serve`. Check the address."
        ) from error
    return [_verl_score(each, server) for each in scores]


def _verl_score(result: ScoreResult, server: RewardServer) -> VerlScore:
    if result.reward is not None:
        return {"score": result.reward, "scored": 1.0}
    # A number that nobody chose would be trained on as if it were a reward.
    if server.unscored is None:
        raise TrainingError(
            f"A response was not scored: {result.outcome}. {result.reason} Choose the reward of "
            "such responses with reward_kwargs.unscored."
        )
    return {"score": server.unscored, "scored": 0.0}
