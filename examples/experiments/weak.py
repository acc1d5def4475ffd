"""A worse model than another: its weights with Gaussian noise on them.

Choosing between two letters stands far more noise than writing whole sentences does, so a weak
judge is made with more of it than a weak policy.
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from cai.models.registry import embedded_folder

POLICY_NOISE, JUDGE_NOISE = 0.25, 0.55


def weakened(folder: Path, noise: float, seed: int, strong: Path | None = None) -> str:
    """The spec of a copy in that folder of a model, the embedded one if none is named.

    `noise` is relative to the spread of each matrix.
    """
    weights = folder / "model.safetensors"
    if not (folder / "done").exists():
        shutil.copytree(strong or embedded_folder(), folder, dirs_exist_ok=True)
        save_file(_noisy(load_file(weights), noise, seed), weights, metadata={"format": "pt"})
        (folder / "done").touch()
    return f"hf:{folder}"


def _noisy(weights: dict[str, torch.Tensor], noise: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: matrix + noise * matrix.std() * torch.randn(matrix.shape, generator=generator)
        if matrix.dim() > 1
        else matrix
        for name, matrix in weights.items()
    }
