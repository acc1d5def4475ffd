"""The trainers that an export can be for: one entry each, and one file for what it says.

The values of `--for`, its refusals and the table of the documentation follow from the entries.

Example:
    trainer_of("verl").check_format("kto")
    # ExportError: verl does not read the format 'kto'. It reads sft, reward, prompts: …
"""

from collections.abc import Mapping

from cai.errors import ExportError
from cai.export.trainers.axolotl import AXOLOTL
from cai.export.trainers.llamafactory import LLAMAFACTORY
from cai.export.trainers.ms_swift import MS_SWIFT
from cai.export.trainers.nemo_rl import NEMO_RL
from cai.export.trainers.openrlhf import OPENRLHF
from cai.export.trainers.torchtune import TORCHTUNE
from cai.export.trainers.trainer import Trainer
from cai.export.trainers.trl import TRL
from cai.export.trainers.verl import VERL

TRAINERS: Mapping[str, Trainer] = {
    "trl": TRL,
    "axolotl": AXOLOTL,
    "llamafactory": LLAMAFACTORY,
    "ms-swift": MS_SWIFT,
    "nemo-rl": NEMO_RL,
    "openrlhf": OPENRLHF,
    "torchtune": TORCHTUNE,
    "verl": VERL,
}
DEFAULT = "trl"


def trainer_of(name: str) -> Trainer:
    """The trainer of that name. Raises ExportError where there is none."""
    if name not in TRAINERS:
        raise ExportError(
            f"There is no form of rows for {name!r}. Name one of {', '.join(TRAINERS)}."
        )
    return TRAINERS[name]
