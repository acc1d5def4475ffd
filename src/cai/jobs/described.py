"""What decides a run, as its recipe writes it down: by name and content."""

from collections.abc import Iterable
from pathlib import Path

from cai.constitution.schema import Constitution
from cai.judging.judge import Judge
from cai.records.recipes import Draw, JudgeDraw, Named, Source
from cai.speaker import Speaker


def described_source(files: Iterable[str], column: str, content: str) -> Source:
    """The files by their names alone, so that a source may move; `content` is its hash."""
    return Source(
        files=tuple(Path(name).name for name in files),
        column=column,
        hash=content,
    )


def described_constitution(constitution: Constitution) -> Named:
    return Named(name=constitution.name, hash=constitution.hash, version=constitution.version)


def described_speaker(speaker: Speaker) -> Draw:
    sampling = speaker.sampling
    return Draw(
        model=speaker.model.name,
        templates=Named(name=speaker.templates.name, hash=speaker.templates.hash),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_tokens,
        stop=sampling.stop,
    )


def described_judge(judge: Judge) -> JudgeDraw:
    return JudgeDraw(
        **described_speaker(judge.speaker).model_dump(), reads_logprobs=judge.reads_logprobs
    )
