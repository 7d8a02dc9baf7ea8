"""The help of every verb, and its example, which runs as it is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import ort_rrelu
from ort_rrelu.commands import app
from tests.commands.command_line import MODELS, call, write_models

VERBS = sorted(
    str(command.name or getattr(command.callback, "__name__", "")).replace("_", "-")
    for command in app.registered_commands
)
NETWORK = """
import torch

def network():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.RReLU())
"""


def example(text: str) -> str:
    """The command that a help text ends with, whose lines are broken."""
    return " ".join(text.partition("Example: ort-rrelu ")[2].split())


def test_all_verbs_are_there() -> None:
    wanted = "bench compare export fuse info lower portable run serve set-training triton"
    assert set(wanted.split()) == set(VERBS)


# Not serve, which does not end: tests/servers runs it.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "serve"])
def test_examples_run(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_models("other", "stock")
    onnx.save(ort_rrelu.graph.portable(MODELS["model"]), "model.onnx")
    np.save("x", np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3))
    Path("net.py").write_text(NETWORK)
    command = example(call(f"{verb} --help"))
    assert command.startswith(f"{verb} ")
    if verb == "export":
        Path("model.onnx").unlink()
    call(command)


def test_the_example_of_serve() -> None:
    assert example(call("serve --help")) == "serve model.onnx --http-port 8080"


@pytest.mark.parametrize("command", ["--help", "-h", "run -h"])
def test_help_ends_with_an_example(command: str) -> None:
    assert example(call(command)).startswith("run model.onnx --input x.npy")
