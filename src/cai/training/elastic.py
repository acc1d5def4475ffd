"""accelerate's launcher as a program of its own: `python -m cai.training.elastic --config_file …`.

It ends with the exit code of the process that failed first, and without the launcher's report: that
process has printed what is wrong. A program of its own, because a launch in the process of `cai`
would leave torch's settings, loggers and signal handlers behind.
"""

import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C during the imports is no traceback

import accelerate.commands.launch as accelerate_launch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

_launch: Any = accelerate_launch  # without types of its own


def launched(arguments: Sequence[str]) -> int:
    """The exit code of `accelerate launch` with these arguments; 128 and more for a signal."""
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _launch.launch_command(_launch.launch_command_parser().parse_args(list(arguments)))
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        # negative for a signal n, which shells call 128 + n
        return code if code >= 0 else 128 - code
    except SignalException as error:
        return 128 + int(error.sigval)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(launched(sys.argv[1:]))
