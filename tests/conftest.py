"""What tests in several folders share: a command line in process, servers, and an ordinary user."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from openai_server import LocalServer
from reward_server import CallCai, Ended, serving

from cai.cli.main import run

NOBODY = 65534


# a shell that runs the tests in the background has them ignore interrupts, and they send some
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """TRL uses names that transformers has given new ones."""
    renamed = "ignore:.*gradient_checkpointing.* is deprecated:FutureWarning"
    config.addinivalue_line("filterwarnings", renamed)


@pytest.fixture
def call_cai(capsys: pytest.CaptureFixture[str]) -> CallCai:
    """Runs `cai` with these arguments in this process."""

    def call(*arguments: object) -> Ended:
        code = run([str(argument) for argument in arguments])
        return Ended(code, *capsys.readouterr())

    return call


@pytest.fixture
def local_server(monkeypatch: pytest.MonkeyPatch) -> Generator[LocalServer]:
    """A server in a thread of its own whose answers depend on the request alone."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving() as server:
        yield server


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder, which is the working directory while the test runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """Permission bits do not bite the superuser: a test of them steps down to an ordinary user."""

    @contextmanager
    def step_down() -> Generator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    return step_down


@pytest.fixture
def open_folder() -> Generator[Path]:
    """A folder that every user can reach and write; pytest's own is its owner's alone."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that is small and untrained."""
    from tiny import save_tiny_model  # heavy: torch

    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def one_thread() -> Generator[None]:
    """Threads that wait for each other cost a tiny model most of its time on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
