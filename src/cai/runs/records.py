"""The results of a run: one JSON body an example, and whole run folders as the source of a job.

Example:
    for result in read_runs(["runs/samples"]):
        if result is not None:  # None: the example failed
            print(result.prompt.request)
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from cai.engine.run_files import RUN_FILE
from cai.engine.run_folder import RunFolder
from cai.errors import JournalError, SourceError, UsageError
from cai.methods.judging.verdict import Candidate
from cai.methods.revision import Chain
from cai.methods.sampling import Samples
from cai.runs.config import AnyBody, B, ReviseRunConfig, read_run_config
from cai.types import Prompt

_adapter = cache(TypeAdapter)  # one of each type: to build one is slow


def dump(body: AnyBody) -> str:
    """JSON without fields at their defaults; half a surrogate pair becomes U+FFFD."""
    content = _adapter(type(body)).dump_python(body, exclude_defaults=True)
    # Models can emit half of a surrogate pair, which no UTF-8 file can hold.
    text = json.dumps(content, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def load(kind: type[B], text: str) -> B:
    """The body that `dump` wrote.

    Raises:
        JournalError: It is none, although its checksum is right: another program wrote it.
    """
    try:
        body = _adapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise JournalError(
            f"A record cannot be read as {kind.__name__} ({where}: {first['msg']}). Use the cai "
            "that its run.yaml names, or make the run again in another folder."
        ) from error
    assert isinstance(body, kind)
    return body


def read_done(run: RunFolder, kind: type[B]) -> Iterator[tuple[int, B]]:
    """The finished examples in the order of the source, with their positions."""
    for record in run.records("done"):
        yield record.position, load(kind, record.body)


@dataclass(frozen=True, slots=True)
class Revised:
    """A chain, and the name of the model that revised it."""

    chain: Chain
    model: str

    @property
    def prompt(self) -> Prompt:
        return self.chain.prompt


Answered: TypeAlias = Samples | Revised
"""What a run made of a prompt."""


def is_run(name: str) -> bool:
    """Whether that is the folder of a run."""
    return (Path(name) / RUN_FILE).is_file()


def are_runs(names: Sequence[str]) -> bool:
    """Whether the sources are the folders of runs, and not files.

    Raises:
        UsageError: Some are and some are not.
    """
    runs = [name for name in names if is_run(name)]
    if runs and len(runs) < len(names):
        raise UsageError(
            f"{runs[0]} is a run and not all of the others are. Name runs or files, not both."
        )
    return bool(runs)


def check_runs(folders: Sequence[str]) -> str:
    """The method of all those runs: `sample` or `revise`.

    Raises:
        JournalError: A folder is no run that can be read.
        SourceError: They are not all of one of these methods.
    """
    methods: dict[str, str] = {}
    for folder in folders:
        with RunFolder.existing(Path(folder)) as run:
            methods[folder] = read_run_config(run).method
    for folder, method in methods.items():
        if method not in ("sample", "revise"):
            raise SourceError(
                f"{folder}: is a run of `cai {method}`, whose responses come from elsewhere. Name "
                "a run of `cai sample` or `cai revise`."
            )
    if len(set(methods.values())) > 1:
        raise SourceError(
            "The runs are of different methods: "
            + ", ".join(f"{folder} of `cai {method}`" for folder, method in methods.items())
            + ". Name runs of one method."
        )
    return next(iter(methods.values()))


def read_runs(folders: Sequence[str]) -> Iterator[Answered | None]:
    """Every example in its order; None for one that failed in its run.

    Raises:
        JournalError: A folder is no run that can be read.
        SourceError: Two runs have a prompt in common.
    """
    seen: dict[int, str] = {}
    for folder in folders:
        with RunFolder.existing(Path(folder)) as run:
            config = read_run_config(run)
            for record in run.records():
                if record.error is not None:
                    yield None
                    continue
                result: Answered
                if isinstance(config, ReviseRunConfig):
                    model = config.roles["revise"].model
                    result = Revised(load(Chain, record.body), model)
                else:
                    result = load(Samples, record.body)
                # Hashes and not ids: a run may have millions of prompts.
                first = seen.setdefault(hash(result.prompt.id), folder)
                if first != folder:
                    raise SourceError(
                        f"{folder}: its example {result.prompt.id!r} is in {first} too. Name one "
                        "of the two runs, or sample all policies in one."
                    )
                yield result


def candidates_of(samples: Samples) -> list[Candidate]:
    return [
        Candidate(each.completion.text, each.model, each.completion.stop_reason == "length")
        for each in samples.samples
    ]


def reasons(what: str, found: Mapping[str, int]) -> list[str]:
    """Such as: not judged: 2 failed in the run, 1 unchanged. No line where there are none."""
    listed = ", ".join(f"{n} {reason}" for reason, n in sorted(found.items()) if n)
    return [f"{what}: {listed}"] if listed else []
