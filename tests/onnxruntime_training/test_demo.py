"""Road A's part of `make demo-training`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_digits_are_learnt_resumed_and_exported(tmp_path: Path) -> None:
    output = tmp_path / "made" / "road_a.json"
    command = [sys.executable, "-m", "models.digits_training.road_a", "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime:Default" not in done.stderr
    result = json.loads(output.read_text("utf-8"))
    assert len(result["losses"]) == len(result["accuracies"]) == result["epochs"]
    assert result["losses"][-1] < 0.05 * result["losses"][0]
    assert result["accuracies"][-1] == result["exported_accuracy"] >= 0.95
    assert result["resumed_bit_for_bit"] is True
    assert [path.name for path in output.parent.iterdir()] == ["road_a.json"]
