"""What `make activations` promises: a network of every activation agrees, its threshold moved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper
from torch import nn

from models.activations import activation_types, build_activation, network

_ROOT = Path(__file__).resolve().parents[2]


def test_demo_agrees_and_learns_the_thresholds() -> None:
    command = [sys.executable, "-m", "models.activations"]
    demo = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    named = [word for word in demo.stdout.split() if word.startswith("out/activations/")]
    assert sorted(Path(name).suffix for name in named) == [*[".onnx"] * 5, ".png"]
    assert all((_ROOT / name).stat().st_size > 1000 for name in named)
    assert demo.stdout.count("1 of 1") == demo.stdout.count("2 of 2") == 2
    assert "t2 moved from 1.00 to 0.75" in demo.stdout
    weights = onnx.load(_ROOT / "out/activations/activations.eval.torchscript.onnx").graph.initializer
    (learned,) = (numpy_helper.to_array(w) for w in weights if w.name.endswith(".t2"))
    assert abs(learned - 1) > 0.01


def test_network_has_every_type(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    original = build_activation

    def noted(cfg: dict[str, Any]) -> nn.Module:
        built.append(cfg["type"])
        return original(cfg)

    monkeypatch.setattr(network, "build_activation", noted)
    network.build()
    assert set(built) == set(activation_types())
