"""A throw-away environment for each trainer: this one's packages, and the trainer without its own.

The trainers pin different versions of large packages, which their data sets do not need. So each
environment sees the packages of ours (torch among them, by `constraints.txt`), and pip installs
without dependencies the trainer and the few modules that reading data imports.
"""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

PINS = {
    "axolotl": ("axolotl==0.19.0", "addict==2.4.0", "colorama==0.4.6"),
    # It imports a model with a value head, which later versions of TRL have no more.
    "llamafactory": ("llamafactory==0.9.5", "omegaconf==2.4.0", "trl==0.24.0"),
    "ms-swift": (
        "ms-swift==4.6.0",
        "modelscope==1.40.2",
        "modelscope-hub==0.5.1",
        "json-repair==0.64.6",
        "cryptography==50.0.2",
        "cffi==2.1.1",
    ),
    "openrlhf": ("openrlhf==0.11.2", "pylatexenc==2.11"),
    "torchtune": (
        "torchtune==0.6.1",
        "torchao==0.9.0",
        "omegaconf==2.4.0",
        "sentencepiece==0.2.3",
        "tiktoken==0.14.0",
    ),
    # It imports names of Qwen2-VL that later versions of transformers have no more.
    "verl": (
        "verl==0.9.1",
        "transformers==5.10.0",
        "tokenizers==0.22.2",
        "huggingface-hub==1.17.0",
        "datasets==4.8.4",
        "tensordict==0.10.0",
        "pyvers==0.2.3",
        "omegaconf==2.4.0",
        "ray==2.55.0",
        "msgpack==1.2.4",
        "jsonschema==4.26.0",
        "jsonschema-specifications==2025.9.1",
        "referencing==0.37.0",
        "rpds-py==2026.9.1",
    ),
}


def make(trainer: str, folder: Path) -> Path:
    """The interpreter of a new environment in that folder."""
    venv.create(folder)
    python = folder / "bin" / "python"
    packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
    (Path(packages) / "ours.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *PINS[trainer]], check=True)
    return python
