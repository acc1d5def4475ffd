"""What a method made of an example as JSON, the body of a run's records, and back."""

import json
from collections.abc import Iterator
from typing import TypeVar

from pydantic import TypeAdapter

from cai.engine.storage.run_folder import RunFolder
from cai.judging.multiple_choice import Answers
from cai.judging.ranking import Judged
from cai.judging.scoring import Scored
from cai.revision import Chain
from cai.sampling import Samples

Body = Chain | Samples | Judged | Scored
"""What rows can be made of; answers to the questions of a suite are figures and no rows."""

B = TypeVar("B", Chain, Samples, Judged, Scored, Answers)

_ADAPTERS: dict[type[Body | Answers], TypeAdapter[Body | Answers]] = {
    kind: TypeAdapter(kind) for kind in (Chain, Samples, Judged, Scored, Answers)
}


def dump(body: Body | Answers) -> str:
    """JSON without fields at their defaults; half a surrogate pair becomes U+FFFD."""
    content = _ADAPTERS[type(body)].dump_python(body, exclude_defaults=True)
    text = json.dumps(content, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load(kind: type[B], text: str) -> B:
    """The body that `dump` wrote."""
    body = _ADAPTERS[kind].validate_json(text)
    assert isinstance(body, kind)
    return body


def read_done(run: RunFolder, kind: type[B]) -> Iterator[tuple[int, B]]:
    """The finished examples in the order of the source, with their positions."""
    for record in run.records("done"):
        yield record.position, load(kind, record.body)
