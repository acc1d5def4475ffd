"""From the name of a model to the model: `embedded`, `hf:PATH`, `openai:NAME@URL`.

A new kind of model is a file of its own and an entry in `KINDS` here. `Spec.is_remote` separates
weights on this machine from a server; no other code compares schemes.

Example:
    model = open_model("openai:my-model@http://localhost:8000/v1?rpm=600")
    parse_spec(model.name).is_remote  # True
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl

from cai.errors import ModelError, UsageError
from cai.models.base import Limits, Model
from cai.suggest import did_you_mean

_THINKING = "enable_thinking"  # the one argument of chat templates that has a name in use


@dataclass(frozen=True, slots=True)
class Spec:
    """A model's name in its parts: `hf:PATH?device=cpu&dtype=float32`."""

    scheme: str
    target: str = ""
    urls: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_remote(self) -> bool:
        """Whether the weights are on a server, where they can be neither trained nor read."""
        return KINDS[self.scheme].is_remote


def open_model(spec: str) -> Model:
    """The model of that name, ready for calls.

    `embedded` ships with the package. `hf:NAME_OR_PATH` runs in process, with the options `device`,
    `dtype`, `adapter`, `revision`, `slots` (examples in one batch), and `enable_thinking` or
    `template.NAME`, arguments of its chat template. `openai:MODEL@URL[,URL…]` is
    any OpenAI-compatible server, with the options `key` (the environment variable that holds the
    key), `kind=base` for a model without a chat template, `body.NAME`, `header.NAME`, `query.NAME`
    and `api-version` for what its servers want beside, `system=fold` for a model without system
    turns, and the limits of each server: `timeout` in seconds, `connections` at a time, `rpm` and
    `tpm`, requests and tokens a minute, `max-mib`, the size of an answer.

    Raises:
        UsageError: The name or an option is unknown.
        ModelError: The model is missing or cannot be loaded.
    """
    parsed = parse_spec(spec)
    return KINDS[parsed.scheme].open(parsed)


def parse_spec(spec: str) -> Spec:
    """The parts of a model's name.

    Raises:
        UsageError: The scheme or an option is unknown, or a part is missing.
    """
    named, _, query = spec.partition("?")
    scheme, _, rest = named.partition(":")
    if scheme == "embedded":  # the one name without a target: "embedded:x" names no model
        rest = "" if rest else scheme
    kind = KINDS.get(scheme)
    if kind is None or not rest:
        hint = did_you_mean(scheme, KINDS)
        raise UsageError(
            f"{named!r} names no model. {hint}{' ' if hint else ''}A model is one of: {SCHEMES}."
        )
    # Not the whole spec: what stands behind the question mark may be a secret.
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in kind.options and name.partition(".")[0] + ".NAME" not in kind.options:
            known = ", ".join(kind.options)
            raise UsageError(f"{named!r}: there is no option {name!r}. Options: {known}.")
    if not kind.is_remote:
        return Spec(scheme, rest, (), options)
    # Not at the first "@": a model's own name may have one.
    target, at, _ = rest.partition("@http")
    if not target:
        raise UsageError(f"{named!r}: a model behind a server is written {scheme}:MODEL@URL.")
    urls = tuple(rest[len(target) + 1 :].split(",")) if at else ()
    return Spec(scheme, target, urls, options)


def has_scheme(text: str) -> bool:
    """Whether the text begins with the scheme of a model; else it may be a folder."""
    scheme, colon, _ = text.partition("?")[0].partition(":")
    return scheme in KINDS and bool(colon or scheme == "embedded")


def embedded_folder() -> Path:
    """The folder of the model that ships with the package, in the format of transformers."""
    return Path(__file__).parent / "embedded"


def _open_embedded(spec: Spec) -> Model:
    weights = embedded_folder() / "model.safetensors"
    if not weights.is_file():
        raise ModelError(
            f"{weights}: the embedded model is not in this installation. Install cai again, or "
            "build the model: python -m cai.testbed.train"
        )
    # Named by its weights, and not by its folder, whose path differs from machine to machine.
    name = f"embedded#{hashlib.blake2b(weights.read_bytes(), digest_size=4).hexdigest()}"
    dtype = spec.options.get("dtype", "auto")
    if dtype not in ("auto", "float32"):  # other types answer differently
        name += f":{dtype}"
    return _open_local(replace(spec, target=str(embedded_folder())), name)


def _open_local(spec: Spec, name: str | None = None) -> Model:
    from cai.models.hf.model import LocalModel  # heavy: torch

    template = {
        option.removeprefix("template."): value
        for option, value in spec.options.items()
        if option == _THINKING or option.startswith("template.")
    }
    for argument in template:
        if not argument.isidentifier():
            raise UsageError(f"template.{argument}: that is not the name of an argument.")
    return LocalModel.load(
        spec.target,
        device=spec.options.get("device", "auto"),
        dtype=spec.options.get("dtype", "auto"),
        adapter=spec.options.get("adapter"),
        revision=spec.options.get("revision"),
        template=template,
        slots=_whole(spec, "slots", 64),
        name=name,
    )


def _open_openai(spec: Spec) -> Model:
    from cai.models.openai.client import HttpModel  # aiohttp
    from cai.models.openai.options import read_options

    kind = spec.options.get("kind", "chat")
    if kind not in ("chat", "base"):
        raise UsageError(f"kind={kind} is unknown; it is 'chat' or 'base'.")
    return HttpModel(
        spec.target,
        spec.urls,
        key_env=spec.options.get("key", "OPENAI_API_KEY"),
        limits=Limits(
            start=64,
            calls=_whole(spec, "connections", 256),
            requests_per_minute=_whole(spec, "rpm") if "rpm" in spec.options else None,
            tokens_per_minute=_whole(spec, "tpm") if "tpm" in spec.options else None,
            timeout_s=_whole(spec, "timeout", 600),
        ),
        is_chat=kind == "chat",
        options=read_options(spec.options, _whole(spec, "max-mib", 64)),
    )


def _whole(spec: Spec, name: str, default: int = 1) -> int:
    value = spec.options.get(name, str(default))
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise UsageError(f"{name}={value} is not a whole number above 0.")
    return int(value)


@dataclass(frozen=True, slots=True)
class ModelKind:
    """One kind of model: how it is opened, how its name is written, and which options it takes.

    A remote one answers from a server and may name it: `SCHEME:MODEL@URL[,URL…]`.
    """

    open: Callable[[Spec], Model]
    forms: tuple[str, ...]
    options: tuple[str, ...]
    is_remote: bool = False


KINDS: Mapping[str, ModelKind] = {
    "embedded": ModelKind(_open_embedded, ("embedded",), ("device", "dtype", "slots")),
    "hf": ModelKind(
        _open_local,
        ("hf:NAME_OR_PATH",),
        ("device", "dtype", "adapter", "revision", "slots", _THINKING, "template.NAME"),
    ),
    "openai": ModelKind(
        _open_openai,
        ("openai:MODEL", "openai:MODEL@URL[,URL…]"),
        (
            *("key", "key-header", "kind", "timeout", "connections", "rpm", "tpm"),
            *("system", "api-version", "max-mib", "body.NAME", "header.NAME", "query.NAME"),
        ),
        is_remote=True,
    ),
}
"""The kinds of model by scheme."""

SCHEMES = ", ".join(form for kind in KINDS.values() for form in kind.forms)
"""How models are named, for help texts."""
