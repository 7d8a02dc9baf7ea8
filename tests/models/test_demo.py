"""What `make demo` promises: it trains, exports with both exporters, and torch and ONNX Runtime agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def test_demo_agrees_and_names_its_files() -> None:
    demo = subprocess.run([sys.executable, "-m", "models.digits"], cwd=_ROOT, capture_output=True, text=True)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    named = [word for word in demo.stdout.split() if word.startswith("out/digits/")]
    assert sorted(Path(name).suffix for name in named) == [*[".onnx"] * 4, ".png"]
    assert all((_ROOT / name).stat().st_size > 1000 for name in named)
    assert demo.stdout.count("3 of 3") == 4
