"""Finished files: written whole or not at all.

The text goes to a temporary file in the same folder, which then takes the place of the target
(`os.replace` is atomic within one file system), so a reader never sees half a file and a killed
process leaves at most the temporary one.

Example:
    atomic_write(out / "report.html", page, UsageError, "Name another file with --out.")
"""

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from cai.errors import CaiError


def part_path(path: Path) -> Path:
    """The temporary file beside the target; what a killed process may leave."""
    return path.with_name(f".{path.name}.part")


@contextlib.contextmanager
def atomic_path(path: Path, error: type[CaiError], advice: str) -> Generator[Path]:
    """The temporary path to write to; it replaces `path` when the block ends without an error.

    Missing folders are made. An OSError, inside the block too, becomes an `error` of one sentence
    and the `advice`.
    """
    part = part_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as failure:
        reason = failure.strerror or failure
        raise error(f"{path}: cannot be written ({reason}). {advice}") from failure
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def atomic_write(
    path: Path, text: str, error: type[CaiError], advice: str, *, is_durable: bool = False
) -> None:
    """Writes the text as UTF-8; see `atomic_path` for errors.

    `is_durable` waits until the text is on the disk: without that, a power cut after the renaming
    can leave an empty file.
    """
    with atomic_path(path, error, advice) as part, part.open("w", encoding="utf-8") as file:
        file.write(text)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
