"""One writer for a run: a lock that the system itself lets go of when the process dies."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from cai.errors import JournalError

LOCK_FILE = "lock"
_TRIES, _PAUSE_S = 5, 0.01


class FolderLock:
    """The right to write a folder, held from creation to `release`.

    Raises:
        JournalError: Another process has it, or the folder cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise JournalError(
                f"{folder}: cannot be written ({error.strerror}). Use another folder."
            ) from error
        try:
            _lock(self._descriptor, folder)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        os.close(self._descriptor)


def writer_of(folder: Path) -> int | None:
    """The process of this machine that writes the folder now; None where none does.

    The lock says whether there is one: the number in the file may be another's by now, as it is in
    every new container.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 20, 0)
        return int(pid) if pid.isdigit() else None
    except OSError:  # a file system without locks, on which nobody can write a run
        return None
    finally:
        os.close(descriptor)
    return None


def _lock(descriptor: int, folder: Path) -> None:
    try:
        _take(descriptor)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
        raise JournalError(
            f"{folder}: another process writes this run (pid {owner}). Wait for it or stop it; "
            "`cai export` reads what is finished while it goes on."
        ) from error
    except OSError as error:
        raise JournalError(
            f"{folder}: cannot be locked ({error.strerror}). Use a folder on a local disk."
        ) from error


def _take(descriptor: int) -> None:
    """Tries a few times: `writer_of` has the lock for a moment too."""
    for _ in range(_TRIES - 1):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
