"""The OpenAPI 3.1 document of the server, made from the very classes that read and answer."""

from collections.abc import Mapping

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cai.serving.forms import (
    VERSION,
    CompareRequest,
    CompareResponse,
    Health,
    Refusal,
    RewardRequest,
    RewardResponse,
    ScoreRequest,
    ScoreResponse,
)

_FORMS: tuple[type[BaseModel], ...] = (
    CompareRequest, CompareResponse, Health, Refusal, RewardRequest, RewardResponse, ScoreRequest,
    ScoreResponse,
)  # fmt: skip
_REFUSALS = {
    "400": "The body is not JSON, or not of the form.",
    "401": "The key is missing or wrong.",
    "413": "The body is too large.",
    "500": "The server failed; its log says more.",
}
_UNSCORED = {
    "422": "A response cannot be scored, and no substitute was chosen.",
    "503": "A response could not be scored now; ask again.",
}


def document(*, has_key: bool) -> dict[str, object]:
    """The document, as JSON; with a bearer key where the server wants one."""
    schemas = models_json_schema(
        [(form, "validation" if form.__name__.endswith("Request") else "serialization")
         for form in _FORMS],
        ref_template="#/components/schemas/{model}",
    )[1]["$defs"]  # fmt: skip
    components: dict[str, object] = {"schemas": schemas}
    if has_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "cai serve", "version": VERSION},
        "paths": {
            "/health": {"get": _operation("That the server answers", None, Health, {})},
            "/openapi.json": {"get": _operation("This document", None, None, {})},
            "/score": {"post": _operation("Score responses", ScoreRequest, ScoreResponse, {})},
            "/compare": {
                "post": _operation("Compare two responses", CompareRequest, CompareResponse, {})
            },
            "/get_reward": {
                "post": _operation(
                    "The remote reward of OpenRLHF", RewardRequest, RewardResponse, _UNSCORED
                )
            },
        },
        "components": components,
        **({"security": [{"key": []}]} if has_key else {}),
    }


def _operation(
    summary: str,
    request: type[BaseModel] | None,
    response: type[BaseModel] | None,
    refusals: Mapping[str, str],
) -> dict[str, object]:
    schema = _reference(response) if response else {"type": "object"}
    responses: dict[str, object] = {"200": _body("The answer.", schema)}
    told = {**_REFUSALS, **refusals} if request else {"401": _REFUSALS["401"]}
    for status, text in told.items():
        responses[status] = _body(text, _reference(Refusal))
    operation: dict[str, object] = {"summary": summary, "responses": responses}
    if response is Health:
        operation["security"] = []
        responses.pop("401")
    if request is not None:
        content = {"application/json": {"schema": _reference(request)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _body(text: str, schema: Mapping[str, object]) -> dict[str, object]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _reference(form: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{form.__name__}"}
