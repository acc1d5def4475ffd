"""`cai demo` where it cannot begin: a sentence, and nothing is written."""

from pathlib import Path

import pytest
from reward_server import CallCai, assert_refused

from cai.models.registry import embedded_folder

HAS_WEIGHTS = (embedded_folder() / "model.safetensors").exists()


def test_a_file_in_place_of_the_folder_is_left_alone(call_cai: CallCai, tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    assert_refused(call_cai("demo", "--out", tmp_path / "out"), "cannot be written")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.skipif(HAS_WEIGHTS, reason="the weights of the embedded model are here")
def test_without_the_weights_it_says_so(call_cai: CallCai, tmp_path: Path):
    ended = call_cai("demo", "--out", tmp_path / "out")
    assert_refused(ended, "the embedded model is not in this installation")
