"""A few nodes after another, with inputs and constants: what cases of batching are written with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx

from tests.serving_models import parse


@dataclass(frozen=True)
class Case:
    """Inputs, a body that gives y, and constants."""

    inputs: str
    body: str
    constants: str = ""
    opset: int = 18

    def model(self) -> onnx.ModelProto:
        """The model; what is not known of its output's shape is left out."""
        constants = f"<{self.constants}>" if self.constants else ""
        text = f"g ({self.inputs}) => (float[batch] y) {constants} {{ {self.body} }}"
        model = parse(text, opset=self.opset)
        model.graph.output[0].ClearField("type")
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        kind = inferred.graph.output[0].type
        unknown = not kind.tensor_type.elem_type
        model.graph.output[0].type.CopyFrom(model.graph.input[0].type if unknown else kind)
        dims = model.graph.output[0].type.tensor_type.shape.dim
        for dim in dims if len(dims) else [dims.add()]:
            dim.Clear()
        dims[0].dim_param = "batch"
        return model


def weights(name: str, *dims: int, kind: str = "float") -> str:
    """A constant of numbers from 1 to 7."""
    values = ", ".join(str(i * 5 % 7 + 1) for i in range(math.prod(dims)))
    return f"{kind}[{','.join(map(str, dims))}] {name} = {{{values}}}"


def ints(**values: list[int]) -> str:
    """Constants that are lists of integers."""
    return ", ".join(f"int64[{len(v)}] {k} = {{{', '.join(map(str, v))}}}" for k, v in values.items())


def each(ops: str, inputs: str, body: str, constants: str = "", opset: int = 18) -> list[Case]:
    """A case for each of the operators, in place of OP."""
    return [Case(inputs, body.replace("OP", op), constants, opset) for op in ops.split()]


X = "float[batch,4] x"
PAIR = "float[batch,4] x, float[batch,4] z"
LONG = "float[batch,3,4] x"
IMAGE = "float[batch,4,6,6] x"
INTS = "int64[batch,4] x, int64[batch,4] z"
BOOLS = "bool[batch,4] x, bool[batch,4] z"
BYTES = "uint8[batch,4] x"
SCALE = "float s = {0.5}, uint8 q = {3}"
DRAWN = f"{X}, int64[batch] step"
TRAIN = "ort_rrelu.RRelu <training = 1, seed = 7>"
STEPS = "t = Transpose <perm = [1, 0, 2]> (x)"  # [3, batch, 4]
ROWS = "n = Shape <start = 0, end = 1> (x)"
SOME = ints(zero=[0], one=[1], two=[2], four=[4], rest=[-1])
OF_CHANNELS = weights("s", 4)

BRANCHES = (
    "then_branch = t () => (float[n,4] a) { a = Relu (x) }, else_branch = e () => (float[n,4] b) { b = %s }"
)
LOOP = "body = b (int64 i, bool go, float[n,4] v) => (bool on, float[n,4] w) { on = Identity (go) w = %s }"
SCAN = "num_scan_inputs = 1, body = b (float[n,4] v, float[n,4] p) => (float[n,4] w, float[n,4] o) { %s }"
