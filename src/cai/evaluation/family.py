"""Which models are kin, by their names: a judge tends to favour answers of its own kind.

A name is reduced to its families. Those are:

- the known series in it with their main version: `openai:gpt-4o-mini@…` is of gpt-4o,
  `hf:Qwen/Qwen2.5-7B` of qwen-2, `meta-llama/Llama-3.1-8B-Instruct` of llama-3. A name with two
  series, such as a distillation, is of both.
- without a known series, what stands before the size: `acme/frob-7b-chat` is of acme/frob.
- without either, the name itself; a folder without what names a step of one training, such as
  `checkpoint-500`, so that two steps are of the same run.

Nothing is guessed beyond that: a name that says nothing is kin to itself alone, and a model that
nobody named to none.
"""

import re
from typing import Literal

Kin = Literal["same", "family"]

_SERIES = (
    "alpaca|aya|baichuan|bloom|chatglm|claude|command|dbrx|deepseek|dolly|embedded|ernie|exaone|"
    "falcon|gemini|gemma|glm|gpt|granite|grok|guanaco|hermes|internlm|jamba|koala|llama|minimax|"
    "mistral|mixtral|mpt|nemotron|nova|o1|o3|o4|olmo|openchat|opt|orca|palm|phi|pythia|qwen|qwq|"
    "smollm|solar|stablelm|starling|text-davinci|tulu|ultralm|vicuna|wizardlm|yi|zephyr"
)
_KNOWN = re.compile(rf"(?<![a-z])(?:chat)?(?P<series>{_SERIES})(?![a-z])[- ]?")
# What may stand between a series and its version: claude-sonnet-4, command-r-7b.
_EDITION = re.compile(r"(?:(?:opus|sonnet|haiku|instant|r|chat|base|v)[- ]?)*")
# One or two digits that are no size (7b, 8x7b) and no date (2407); of gpt-4o the letter too.
_VERSION = re.compile(r"(?P<main>\d{1,2}(?!\d)(?:o(?![a-z]))?)(?!x\d)(?!(?:\.\d+)?[bmk](?![a-z]))")
_SIZE = re.compile(r"[- ](?:\d+x)?\d+(?:\.\d+)?[bmk](?![a-z0-9])")
_STEP = re.compile(
    r"/(?:(?:checkpoint|ckpt|step|epoch|global-step|iter|round)[- ]?\d+|final|best|last|latest|"
    r"merged|adapter|model)/?$"
)
_FORM = re.compile(r"\b(?:openai|hf|anthropic|vllm):")


def kinship(one: str, other: str) -> Kin | None:
    """Whether two names are of the same model, or of one family; None for neither or unknown."""
    if not one or not other:
        return None
    if one == other or _is_same_elsewhere(one, other):
        return "same"
    return "family" if families(one) & families(other) else None


def families(name: str) -> frozenset[str]:
    """The families of a model's name; none of an empty one."""
    base, plus, adapter = bare_name(name).partition("+")
    if plus:
        return families(base) | families(adapter)
    base = _without_step(base.replace("_", "-"))
    folder, slash, place = base.rpartition("/")
    found = {_versioned(match) for match in _KNOWN.finditer(place)}
    if found or not base:
        return frozenset(found)
    size = _SIZE.search(place)
    return frozenset({folder + slash + place[: size.start()] if size else base})


def bare_name(name: str) -> str:
    """The name in lower case, without the kind of back end, endpoint, content hash and number type.

    Of an adapter, joined with a +, both names are kept.
    """
    scheme = _FORM.match(name)
    bare = name[scheme.end() :] if scheme else name
    bare = re.sub(r":(?:bfloat16|float16|float32)$", "", bare)
    parts = [re.sub(r"[@#].*$", "", part) for part in bare.split("+")]
    return "+".join(part.strip().rstrip("/") for part in parts).lower()


def _is_same_elsewhere(one: str, other: str) -> bool:
    """Equal but for the endpoint. Two names with a content hash differ in what they hold."""
    is_hashed = all(re.match(r"hf:|embedded#", name) for name in (one, other))
    return not is_hashed and bare_name(one) == bare_name(other)


def _without_step(path: str) -> str:
    while (shorter := _STEP.sub("", path)) != path:
        path = shorter
    return path


def _versioned(match: re.Match[str]) -> str:
    series, name = match["series"], match.string
    if series == "gpt" and name.startswith("oss", match.end()):
        return "gpt-oss"
    edition = _EDITION.match(name, match.end())
    version = _VERSION.match(name, edition.end() if edition else match.end())
    return f"{series}-{version['main']}" if version else series
