"""Two processes train one policy: they see the same figures, end at the same step, one writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import save_tiny_model

HERE = Path(__file__).parent


@pytest.mark.slow
def test_two_processes_see_the_same_and_stop_together(tmp_path: Path):
    model = save_tiny_model(tmp_path / "tiny")
    paths = [HERE, HERE.parents[1] / "support", HERE.parents[2] / "src"]
    ended = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
            str(HERE / "two_processes.py"), str(model), str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    for method, step in (("grpo", 3), ("dpo", 2)):
        one, other = (
            json.loads((tmp_path / f"{method}-{rank}.json").read_text("utf-8")) for rank in (0, 1)
        )
        assert one == other
        assert one["step"] == step
        lines = (tmp_path / method / "watch.jsonl").read_text("utf-8").splitlines()
        assert len(lines) == len(one["history"]) + 1  # each record once, and the broken rule
    assert ended.stderr.count("The run stops here.") == 2
