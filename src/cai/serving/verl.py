"""Reward functions for verl that ask a `cai serve`: one response, many at once, or async.

verl loads this file by its path (`custom_reward_function.path`) and gives a function, beside its
own arguments, those of `reward_kwargs`: `url`, `prompt_key`, `key_env`, `timeout_s` and
`unscored`. The prompt is read from `extra_info`, where the data set must have put it.
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
from cai.serving.schema import MOST_ITEMS, ScoreResponse, ScoreResult

URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Server:
    """Where rewards come from. `unscored` stands for a response that could not be scored."""

    url: str = URL
    prompt_key: str = "prompt"
    key_env: str | None = None
    timeout_s: float = 600.0
    unscored: float | None = None


Scored = dict[str, float]
"""`score` is the reward, and `scored` 1 where it is one, 0 where a substitute stands for it."""


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, object] | None = None,
    **options: object,
) -> Scored:
    """The reward of one response, for verl's `naive` and `dapo` managers.

    Raises:
        TrainingError: There is no prompt, the server does not answer, or it gives no reward and no
            substitute was chosen.
    """
    (found,) = compute_scores(
        [data_source], [solution_str], [ground_truth], [extra_info], **options
    )
    return found


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[object],
    extra_infos: Sequence[Mapping[str, object] | None],
    **options: object,
) -> list[Scored]:
    """The rewards of many responses in one request, for verl's `batch` manager. Raises likewise."""
    server = _server(options)
    found: list[Scored] = []
    for start in range(0, len(solution_strs), MOST_ITEMS):
        part = slice(start, start + MOST_ITEMS)
        request = _request(server, solution_strs[part], extra_infos[part])
        found += _read(server, _sent(server, request))
    return found


async def compute_score_async(
    data_source: str,
    solution_str: str,
    ground_truth: object,
    extra_info: Mapping[str, object] | None = None,
    **options: object,
) -> Scored:
    """As `compute_score`, for verl's reward loop, which has many under way at once."""
    server = _server(options)
    request = _request(server, [solution_str], [extra_info])
    (found,) = _read(server, await _sent_async(server, request))
    return found


def _server(options: Mapping[str, object]) -> Server:
    """The server of the options that are ours; each version of verl adds some of its own."""
    ours = {name: options[name] for name in Server.__dataclass_fields__ if name in options}
    return Server(**ours)  # pyright: ignore[reportArgumentType]: as the configuration says them


def _prompt(info: Mapping[str, object] | None, key: str) -> object:
    """The prompt as text or turns; Parquet gives turns as an array of mappings."""
    if info is None or info.get(key) is None:
        raise TrainingError(
            f"extra_info has no {key!r}, and a reward needs the prompt. Put it there when the data "
            "is prepared, or name its column with reward_kwargs.prompt_key."
        )
    prompt = info[key]
    if isinstance(prompt, str):
        return prompt
    turns = cast(Iterable[Mapping[str, object]], prompt)
    return [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns]


def _request(
    server: Server, responses: Sequence[str], infos: Sequence[Mapping[str, object] | None]
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


def _sent(server: Server, request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(request, timeout=server.timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, ValueError, HTTPException) as error:
        raise _silent(server, error) from error


async def _sent_async(server: Server, request: urllib.request.Request) -> tuple[int, bytes]:
    timeout = aiohttp.ClientTimeout(total=server.timeout_s)
    body, headers = cast(bytes, request.data), dict(request.header_items())
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(request.full_url, data=body, headers=headers) as answer,
        ):
            return answer.status, await answer.read()
    except (OSError, ValueError, aiohttp.ClientError) as error:
        raise _silent(server, error) from error


def _silent(server: Server, error: Exception) -> TrainingError:
    return TrainingError(
        f"{server.url}: no answer from the reward server ({type(error).__name__}: {error}). Start "
        "it: cai serve."
    )


def _read(server: Server, answer: tuple[int, bytes]) -> list[Scored]:
    status, body = answer
    if status != 200:
        said = body.decode("utf-8", "replace")[:500]
        raise TrainingError(f"{server.url}: the reward server answers {status}: {said}")
    try:
        found = ScoreResponse.model_validate_json(body)
    except ValidationError as error:
        raise TrainingError(
            f"{server.url}: the answer is not one of `cai serve`. Check the address."
        ) from error
    return [_scored(each, server) for each in found.scores]


def _scored(found: ScoreResult, server: Server) -> Scored:
    if found.reward is not None:
        return {"score": found.reward, "scored": 1.0}
    if server.unscored is None:
        raise TrainingError(
            f"A response was not scored: {found.outcome}. {found.reason} Choose what stands for "
            "such a reward with reward_kwargs.unscored."
        )
    return {"score": server.unscored, "scored": 0.0}
