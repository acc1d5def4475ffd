"""An environment for each peer, under `benchmarks/.envs`, made when it is first wanted."""

import subprocess
import sys
import venv
from pathlib import Path

HOME = Path(__file__).parents[1] / ".envs"
PINS = {
    "plain": ("openai==3.54.0",),
    # Later versions of the SDK log every request through a logger that distilabel leaves loud.
    "distilabel": ("distilabel[openai]==1.5.3", "openai==2.30.0", "requests==2.34.2"),
    "curator": ("bespokelabs-curator==0.1.31", "litellm==1.83.7", "openai==2.30.0"),
}
_CONSTRAINTS = "torch==2.13.0\n"  # in case that one asks for it


class NotInstalled(Exception):
    """The environment could not be made; the text ends with pip's last line."""


def python_of(name: str) -> Path:
    """The interpreter of that peer's environment, which is made anew when its pins have changed.

    Raises:
        NotInstalled: pip could not install it.
    """
    folder = HOME / name
    python, ready = folder / "bin" / "python", folder / "ready.txt"
    pins = "\n".join(PINS[name])
    if ready.exists() and ready.read_text() == pins:
        return python
    sys.stderr.write(f"Making the environment of {name} in {folder}\n")
    venv.create(folder, with_pip=True, clear=True)
    constraints = folder / "constraints.txt"
    constraints.write_text(_CONSTRAINTS)
    install = [python, "-m", "pip", "install", "--quiet", "-c", constraints, *PINS[name]]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or "pip failed").splitlines()[-1]
        raise NotInstalled(f"not installed: {said}")
    ready.write_text(pins)
    return python
