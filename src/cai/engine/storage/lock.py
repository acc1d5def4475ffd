"""One writer for a run: a lock that the system itself lets go of when the process dies."""

import fcntl
import os
from pathlib import Path

from cai.errors import JournalError

LOCK_FILE = "lock"


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
    """The process of this machine that wrote the folder last and still lives; None where none."""
    try:
        pid = int((folder / LOCK_FILE).read_text("ascii"))
    except (OSError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, and is somebody else's
    return pid


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
