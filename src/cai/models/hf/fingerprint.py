"""A short name for what a model folder holds, so that retrained weights are another model."""

import hashlib
from pathlib import Path

_WEIGHTS = {".safetensors", ".bin"}
_SETTINGS = {".json", ".jinja", ".model", ".txt"}
_EDGE_BYTES = 2**20


def fingerprint(folder: Path) -> str:
    """Twelve hex digits over configuration, tokenizer, chat template and weights.

    Of a weights file its size, its first and its last MB count: training changes every part of it.
    """
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(folder.iterdir()):
        if path.suffix in _WEIGHTS:
            digest.update(f"{path.name}:{path.stat().st_size}:".encode() + _edges(path))
        elif path.suffix in _SETTINGS:
            digest.update(f"{path.name}:{path.stat().st_size}:".encode() + path.read_bytes())
    return digest.hexdigest()


def _edges(path: Path) -> bytes:
    with path.open("rb") as file:
        first = file.read(_EDGE_BYTES)
        file.seek(max(path.stat().st_size - _EDGE_BYTES, 0))
        return first + file.read(_EDGE_BYTES)
