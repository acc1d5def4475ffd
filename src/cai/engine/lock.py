"""One writer per run folder: a file lock that the system releases when the process dies.

Example:
    lock = FolderLock(folder)  # JournalError if another process writes it
    try:
        ...
    finally:
        lock.release()
"""

import fcntl
import os
import time
from pathlib import Path

from cai.errors import JournalError

LOCK_FILE = "lock"
_TRIES, _PAUSE_S = 5, 0.01


class FolderLock:
    """The right to write a folder, from creation to `release`.

    Raises:
        JournalError: Another process has it, or the folder cannot be locked.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._descriptor = os.open(
                folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666
            )
        except OSError as error:
            raise JournalError(
                f"{folder}: cannot be written ({error.strerror}). Use another folder."
            ) from error
        try:
            # Several tries, because `writer_of` in another process holds the lock for a moment too:
            # `cai status` must not make a run fail that starts just then.
            for n_left in reversed(range(_TRIES)):
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not n_left:
                        raise
                    time.sleep(_PAUSE_S)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)
        except BlockingIOError as error:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace") or "unknown"
            self.release()
            raise JournalError(
                f"{folder}: another process writes this run (pid {owner}). Wait for it or stop it; "
                "`cai export` reads what is finished while it runs."
            ) from error
        except OSError as error:
            self.release()
            raise JournalError(
                f"{folder}: cannot be locked ({error.strerror}). Use a folder on a local disk."
            ) from error

    def release(self) -> None:
        os.close(self._descriptor)


def writer_of(folder: Path) -> int | None:
    """The id of the process on this machine that writes the folder now; None if there is none."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        # Only the lock proves that there is a writer. The number alone may by now be that of
        # another process, as it is in every new container.
        pid = os.pread(descriptor, 20, 0)
        return int(pid) if pid.isdigit() else None
    except OSError:  # a file system without locks, on which no run can be written
        return None
    finally:
        os.close(descriptor)
    return None
