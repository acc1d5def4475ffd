"""What the tests of commands share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from openai_server import LocalServer
from reward_server import CallCai, Ended, spec, write_prompts
from small_runs import TWO_YAML


@pytest.fixture
def wide_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are printed without a line break within a cell."""
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def constitution(tmp_path: Path) -> Path:
    """A file with the principles `long` and `late`."""
    path = tmp_path / "two.yaml"
    path.write_text(TWO_YAML)
    return path


@pytest.fixture
def n_prompts() -> int:
    """How many prompts `revise` is given."""
    return 6


@pytest.fixture
def revise(
    call_cai: CallCai, local_server: LocalServer, tmp_path: Path, n_prompts: int
) -> Callable[..., Ended]:
    """`cai revise` of the prompts into a folder, with more options."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", n_prompts)

    def call(*more: object, constitution: object = "testbed", run: str = "run") -> Ended:
        shared = ("-c", constitution, "-m", spec(local_server), "-o", tmp_path / run)
        ended = call_cai("revise", prompts, *shared, *more)
        assert "Traceback" not in ended.err
        return ended

    return call
