"""Puts what commands print into the pages that show them: `python docs/outputs.py PAGE...`

A page is followed from top to bottom in a folder of its own, as a reader would: files are saved and
added to where it says so, and commands are run. `tests/test_docs.py` finds a page that is out of
date, as after a rebuild of the embedded model.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
CAI = (sys.executable, "-c", "from cai.cli.main import main; main()")
_EVENT = re.compile(
    r"(?P<verb>Save this as|Add this at the end of) `(?P<file>[^`]+)`[^`]*```\w+\n(?P<text>.*?)^```"
    r"|(?P<opening>^```console\n)(?P<shown>.*?)^```",
    re.DOTALL | re.MULTILINE,
)
_COMMAND = re.compile(r"^\$ (?P<line>(?:.*\\\n)*.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def refreshed(page: str, folder: Path) -> str:
    """The page with the output of each `cai` command as it is now.

    Commands whose output the page does not show are run for what they leave behind. Of others only
    `python FILE` is run, and what the page shows of it stays.
    """
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)

    def follow(event: re.Match[str]) -> str:
        if event["verb"]:
            with (folder / event["file"]).open("a" if "end" in event["verb"] else "w") as file:
                file.write(event["text"])
            return event[0]
        blocks = [_shown(command, folder) for command in _COMMAND.finditer(event["shown"])]
        return f"{event['opening']}{''.join(blocks)}```"

    return _EVENT.sub(follow, page)


def _shown(command: re.Match[str], folder: Path) -> str:
    program, *arguments = shlex.split(command["line"].replace("\\\n", " "))
    if program == "cai":
        printed = _run([*CAI, *arguments], folder)
        return f"$ {command['line']}\n{printed if command['output'] else ''}"
    if program == "python" and not arguments[0].startswith("-"):
        _run([sys.executable, *arguments], folder)
    return command[0]


def _run(command: list[str], folder: Path) -> str:
    path = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **path},
        text=True,
        stdout=subprocess.PIPE,
        check=True,
    )
    return done.stdout


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        with TemporaryDirectory() as folder:
            path.write_text(refreshed(path.read_text("utf-8"), Path(folder)), "utf-8")


if __name__ == "__main__":
    main()
