"""The command line as tests call it, in this process, and the small models that they give it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
from typer.testing import CliRunner

from ort_rrelu.commands import app

RUNNER = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"})


def call(command: str) -> str:
    """What it prints."""
    result = RUNNER.invoke(app, command.split())
    assert result.exit_code == 0, result.output
    return result.stdout


def call_json(command: str) -> Any:
    """What it prints with --json."""
    return json.loads(call(f"{command} --json"))


def refused(command: str) -> str:
    """The one line of an error, which leaves every file as it was and makes none."""
    before = _files()
    result = RUNNER.invoke(app, command.split())
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert _files() == before
    return result.stderr


def _files() -> dict[Path, tuple[bytes, int] | None]:
    """Files and folders, but what Python makes of modules."""
    paths = [path for path in Path().rglob("*") if "__pycache__" not in path.parts]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) if path.is_file() else None for path in paths}


def parse(body: str, opset: int = 17) -> onnx.ModelProto:
    """A model in onnx's text form, with our domain."""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}, "ort_rrelu": 1]> {body}')


_X, _Y = "float[batch, 3] x", "float[batch, 3] y"

MODELS = {
    "eval": parse(f"net ({_X}) => ({_Y}) {{ [act] y = ort_rrelu.RRelu (x) }}"),
    "train": parse(f"net ({_X}) => ({_Y}) {{ [act] y = ort_rrelu.RRelu <training = 1> (x) }}"),
    "model": parse(
        f"net ({_X}, int64 step) => ({_Y}) {{ "
        "[first] h = ort_rrelu.RRelu <training = 1, seed = 7> (x, step) "
        "[last] y = ort_rrelu.RRelu (h, step) }"
    ),
    "other": parse(f"net ({_X}, int64 step) => ({_Y}) {{ y = LeakyRelu <alpha = 0.1> (x) }}"),
    "bodies": parse(
        f"net (bool c, {_X}) => ({_Y}) {{ y = If (c) <"
        "then_branch = a () => (float[batch, 3] b) { b = ort_rrelu.RRelu <training = 1> (x) }, "
        "else_branch = e () => (float[batch, 3] b) { b = ort_rrelu.RRelu (x) }> }"
    ),
    "stock": parse(
        f"net ({_X}) => ({_Y}) {{ [draw] slopes = RandomUniformLike <low = 0.125, high = 0.25> (x) "
        "[act] h = PRelu (x, slopes) [leaky] y = LeakyRelu <alpha = 0.1> (h) }"
    ),
    "plain": parse(f"net ({_X}) => ({_Y}) {{ y = LeakyRelu <alpha = 0.1> (x) }}"),
}


def write_models(*names: str) -> None:
    """Those of these names, or all, as NAME.onnx in the current folder."""
    for name in names or MODELS:
        Path(f"{name}.onnx").write_bytes(MODELS[name].SerializeToString())
