"""RReLU as tf2onnx writes it, as ONNX text: Cast(mask) * x + Cast(Not(mask)) * (slope * x), all variants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st

ELEMENTS = {"float": 1, "float16": 10, "double": 11}
DTYPES: dict[str, Any] = {"float": np.float32, "float16": np.float16, "double": np.float64}

# How a draw gets its shape; of the two lengths of x tf2onnx knows none, one or both.
_FILLED = """v = Cast <to = 7> (t) like = ConstantOfShape(v)
    u = RandomUniformLike <dtype = {draw}, seed = {seed}> (like)"""
SHAPES = {
    "Shape of x": f"s = Shape(x) t = Cast <to = 6> (s) {_FILLED}",
    "static": "u = RandomUniform <dtype = {draw}, seed = {seed}, shape = [40, 8]> ()",
    "Gather": f"s = Shape(c) g = Gather(s, perm) t = Cast <to = 6> (g) {_FILLED}",
    "Slice and Concat": f"""s = Shape(x) k = Cast <to = 6> (s) f = Slice(k, i0, i1, i0)
        t = Concat <axis = 0> (f, w8) {_FILLED}""",
    "Gather, Unsqueeze and Concat": f"""s = Shape(x) f = Gather(s, z0) e = Unsqueeze(f, i0)
        k = Cast <to = 6> (e) t = Concat <axis = 0> (k, w8) {_FILLED}""",
}
_COMPARISONS = {  # is it true for negative elements?
    "GreaterOrEqual(x, zero)": False,
    "Greater(x, zero)": False,
    "Less(x, zero)": True,
    "LessOrEqual(x, zero)": True,
    "GreaterOrEqual(zero, x)": True,
    "Greater(zero, x)": True,
    "Less(zero, x)": False,
    "LessOrEqual(zero, x)": False,
}


@dataclass(frozen=True)
class Form:
    """One way to write it; `flips` are the binary nodes whose operands come in the other order."""

    element: str = "float"
    shape: str = "Shape of x"
    comparison: str = "GreaterOrEqual(x, zero)"
    sizes: str = "n, 8"
    flips: frozenset[str] = frozenset()
    two_comparisons: bool = False
    moved_product: bool = False  # eval: before the Transpose
    transposed: bool = False
    seed: float = 7.0
    low: float = 0.125
    width: float = 0.25

    def train(self) -> onnx.ModelProto:
        """With random slopes from `low` to `low + width`; those of float16 are drawn as float, which runs."""
        drawn = ELEMENTS["float" if self.element == "float16" else self.element]
        shape = SHAPES[self.shape].format(draw=drawn, seed=self.seed)
        cast = f"q = Cast <to = {ELEMENTS[self.element]}> (u)"
        slope = f"{shape} {cast} {self._pair('p', 'Mul', 'q', 'width')} {self._pair('r', 'Add', 'p', 'low')}"
        return self._model(f"{slope} {self._pair('rx', 'Mul', 'r', 'x')}")

    def eval(self) -> onnx.ModelProto:
        """With `low` as slope."""
        if self.moved_product:
            return self._model(f"{self._pair('rc', 'Mul', 'low', 'c')} rx = Transpose <perm = [1, 0]> (rc)")
        return self._model(self._pair("rx", "Mul", "low", "x"))

    def _pair(self, name: str, op: str, one: str, other: str) -> str:
        operands = (other, one) if name in self.flips else (one, other)
        return f"{name} = {op}({', '.join(operands)})"

    def _masks(self) -> str:
        negative = _COMPARISONS[self.comparison]
        true, false = ("neg", "pos") if negative else ("pos", "neg")
        to = ELEMENTS[self.element]
        second = "Not(m)"
        if self.two_comparisons:
            second = "Greater(x, zero)" if negative else "Less(x, zero)"
        return (
            f"m = {self.comparison} n = {second} {true} = Cast <to = {to}> (m) {false} = Cast <to = {to}> (n)"
        )

    @property
    def _is_transposed(self) -> bool:
        return self.transposed or self.moved_product or self.shape == "Gather"

    def _model(self, slope: str) -> onnx.ModelProto:
        element = self.element
        first, second = self.sizes.split(", ")
        of_input = f"{second}, {first}" if self._is_transposed else self.sizes
        transpose = "x = Transpose <perm = [1, 0]> (c)" if self._is_transposed else ""
        places = (
            "int64[2] perm = {1, 0}, int64[1] i0 = {0}, int64[1] i1 = {1}, int64 z0 = {0}, int32[1] w8 = {8}"
        )
        name = "c" if self._is_transposed else "x"
        model = onnx.parser.parse_model(
            '<ir_version: 8, opset_import: ["": 18]> '
            f"net ({element}[{of_input}] {name}) => ({element}[{self.sizes}] y) <{places}> {{ "
            f"{transpose} {slope} {self._masks()} {self._pair('a', 'Mul', 'pos', 'x')} "
            f"{self._pair('b', 'Mul', 'rx', 'neg')} {self._pair('y', 'Add', 'a', 'b')} }}"
        )
        for constant, number in {"zero": 0, "low": self.low, "width": self.width}.items():
            array = np.array(number, DTYPES[element])
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, constant))
        onnx.checker.check_model(model, full_check=True)
        return model


FLIPPED = ("p", "r", "rx", "a", "b", "y", "rc")


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Any of them that runs on 40 rows of 8."""
    shape = draw(st.sampled_from(sorted(SHAPES)))
    sizes = ["40, 8"] if shape == "static" else ["n, 8", "40, 8"]
    if shape in {"Shape of x", "Gather"}:
        sizes.append("n, m")
    return Form(
        element=draw(st.sampled_from(sorted(ELEMENTS))),
        shape=shape,
        comparison=draw(st.sampled_from(sorted(_COMPARISONS))),
        sizes=draw(st.sampled_from(sizes)),
        flips=draw(st.frozensets(st.sampled_from(FLIPPED))),
        two_comparisons=draw(st.booleans()),
        moved_product=draw(st.booleans()),
        transposed=draw(st.booleans()),
        low=draw(st.sampled_from([0.125, 0.0625, 0.5])),
    )
