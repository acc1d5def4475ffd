"""Libraries that train and are not here are a sentence, before anything imports them."""

import subprocess
import sys

import pytest

from cai.errors import TrainingError
from cai.training.environment import require


def test_what_is_here_is_silent():
    require()


def test_another_library_is_named_with_its_own_command():
    with pytest.raises(TrainingError, match=r"Run `pip install 'no_such_library'`\."):
        require(["torch", "no_such_library"])


def test_without_peft_the_extra_is_named():
    """In an interpreter of its own, where peft cannot be found."""
    script = (
        "import sys; sys.modules['peft'] = None\n"
        "from cai.training.environment import require\n"
        "from cai.errors import TrainingError\n"
        "try:\n    require()\nexcept TrainingError as error:\n    sys.exit(str(error))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.stderr.strip() == (
        "Training needs peft, not installed here. Run `pip install 'cai-toolkit[train]'`."
    )
