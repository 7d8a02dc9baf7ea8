"""Models on which onnx's shape inference ends the process: refused with an error, or taken, by every tool.

Each tool runs in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import onnx
import pytest

import ort_rrelu
from ort_rrelu import graph, serving
from tests.commands.valid_models import parse_seed

_TRAIN = "h = ort_rrelu.RRelu <training = 1> (x)"
_FUNCTION = '<domain: "own", opset_import: ["": 18]> F <b> (a, i) => (c) {{ c = {} }}'
_GATHER = "float[6,4] x, int64[3,1] i"


def _model(inputs: str, nodes: str, functions: str = "") -> onnx.ModelProto:
    return parse_seed(f"g ({inputs}) => (y) {{ {_TRAIN} {nodes} }}", functions=functions)


def _negative_tensor() -> onnx.ModelProto:
    model = _model("float[6,4] x", "y = Add (h, w)")
    model.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[-2, 4])
    return model


def _negative_input() -> onnx.ModelProto:
    """As some exporters write an open dimension."""
    slicing = "y = Slice (h, one, three)"
    constants = "one = Constant <value_ints = [1]> () three = Constant <value_ints = [3]> ()"
    model = _model("float[n,4] x", f"{constants} {slicing}")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    return model


_MISFIT = "it must be 2, which is the number of its outputs"

# What is wrong, or empty where ONNX Runtime takes the model.
_MODELS: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "a Split of fewer outputs": (
        lambda: _model("float[6,4] x", "y, z = Split <axis = 0, num_outputs = 1> (h)"),
        f'Split node with output "y": num_outputs=1: {_MISFIT}',
    ),
    "a Split of more outputs": (
        lambda: _model("float[6,4] x", "y, z = Split <axis = 0, num_outputs = 3> (h)"),
        f'Split node with output "y": num_outputs=3: {_MISFIT}',
    ),
    "a negative batch_dims": (
        lambda: _model(_GATHER, "y = GatherND <batch_dims = -100000000> (h, i)"),
        'GatherND node with output "y": batch_dims=-100000000: it must be 0 or more',
    ),
    "a negative batch_dims from the call of a function": (
        lambda: _model(
            _GATHER,
            "y = own.F <b = -100000000> (h, i)",
            _FUNCTION.format("GatherND <batch_dims : int = @b> (a, i)"),
        ),
        'GatherND node with output "c", called by own:F node with output "y": batch_dims=-100000000: it must',
    ),
    "a tensor with a negative dimension": (_negative_tensor, "tensor 'w': it has dimension -2: it must be"),
    "an input with a negative dimension": (_negative_input, ""),
}
_TOOLS: dict[str, Callable[[onnx.ModelProto], object]] = {
    "portable": graph.portable,
    "lower": graph.lower,
    "fuse": graph.fuse,
    "can_batch": serving.can_batch,
}


@pytest.mark.parametrize("tool", _TOOLS)
def test_no_tool_ends_the_process(tool: str) -> None:
    child = subprocess.run(
        [sys.executable, "-m", __name__, tool], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    said = json.loads(child.stdout)
    for name, (_, message) in _MODELS.items():
        assert message in said[name], name
        assert bool(message) == bool(said[name]), name


@pytest.mark.parametrize("name", ["portable", "lower"])
def test_negative_dimensions_stay_as_they_are(name: str) -> None:
    made = _TOOLS[name](_negative_input())
    assert isinstance(made, onnx.ModelProto)
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_value == -1


def _main() -> None:
    said = {}
    for name, (make, _) in _MODELS.items():
        try:
            _TOOLS[sys.argv[1]](make())
            said[name] = ""
        except ort_rrelu.Error as error:
            said[name] = str(error)
    print(json.dumps(said))


if __name__ == "__main__":
    _main()
