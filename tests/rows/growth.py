"""Graphs that grow node by node, with shapes for one number of rows, which other dimensions may have too."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ort_rrelu import schema

GROWN = 3  # the number of rows while it grows
_LARGEST = 600  # elements
_EXACT = 2.0**20  # whole numbers up to here stay exact in sums
_T = TypeVar("_T")


class UnfitError(Exception):
    """There is no such node here."""


@dataclass(frozen=True)
class Grown:
    """A value. limit: the largest absolute value that it can have, as a whole number; infinite for others."""

    name: str
    shape: tuple[int, ...]
    limit: float
    dtype: int = TensorProto.FLOAT

    @property
    def rank(self) -> int:
        """The number of dimensions."""
        return len(self.shape)


class Growth:
    """A graph that grows at random."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.opset = self.one_of([11, 13, 17, 18, 21])
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: list[Grown] = []
        self.values: list[Grown] = []
        self._known: dict[str, np.ndarray[Any, Any]] = {}

    def number(self, low: int, high: int) -> int:
        """A number from low to high."""
        return self._random.randint(low, high)

    def one_of(self, choices: Sequence[_T]) -> _T:
        """One of several; UnfitError where there are none."""
        if not choices:
            raise UnfitError
        return self._random.choice(choices)

    def some(self, choices: Sequence[_T], least: int = 1) -> list[_T]:
        """Several of them, in order."""
        chosen = [choice for choice in choices if self.number(0, 1)]
        return chosen if len(chosen) >= least else list(choices[:least])

    def shuffled(self, choices: Sequence[_T]) -> list[_T]:
        """All of them in some order."""
        return self._random.sample(list(choices), len(choices))

    def input(self, shape: tuple[int, ...]) -> None:
        """An input with a row on its first axis for each request."""
        value = Grown(f"x{len(self.inputs)}", (GROWN, *shape), 3)
        self.inputs.append(value)
        self.values.append(value)

    def steps(self) -> Grown:
        """The input with a step for each row."""
        found = next((value for value in self.inputs if value.name == "step"), None)
        if found is None:
            found = Grown("step", (GROWN,), math.inf, TensorProto.INT64)
            self.inputs.append(found)
        return found

    def value(self, *, least: int = 0, ranks: Sequence[int] = (), exact: bool = False) -> Grown:
        """One of the values so far, the later ones more often."""
        fitting = [
            value
            for value in self.values
            if value.dtype == TensorProto.FLOAT
            and value.rank >= least
            and (not ranks or value.rank in ranks)
            and not (exact and value.limit > _EXACT)
        ]
        return self.one_of([*fitting, *fitting[-1:] * 3])

    def axis(self, value: Grown) -> int:
        """One of its axes, counted from the front or from the back; the first one less often."""
        if not value.rank:
            raise UnfitError
        axis = max(self.number(0, value.rank - 1), self.number(0, value.rank - 1))
        return axis - value.rank * self.number(0, 1)

    def constant(self, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> Grown:
        """Small whole numbers."""
        name = f"c{len(self.constants)}"
        generator = np.random.default_rng(self.number(0, 99))
        numbers = generator.integers(1, 3, tuple(shape))
        if dtype == TensorProto.FLOAT:
            numbers = numbers * generator.choice([-1, 1], tuple(shape))
        array = np.asarray(numbers).astype(helper.tensor_dtype_to_np_dtype(dtype))
        self.constants[name] = numpy_helper.from_array(array, name)
        return Grown(name, tuple(shape), 2, dtype)

    def ints(self, numbers: Any) -> Grown:
        """A constant of integers."""
        return self.known(f"c{len(self.constants)}", np.asarray(numbers, np.int64))

    def known(self, name: str, numbers: np.ndarray[Any, Any]) -> Grown:
        """A constant with these elements."""
        self.constants[name] = numpy_helper.from_array(numbers, name)
        self._known[name] = numbers
        dtype = helper.np_dtype_to_tensor_dtype(numbers.dtype)
        return Grown(name, numbers.shape, math.inf, dtype)

    def computed(self, op: str, inputs: Sequence[Grown], numbers: Any, **attributes: Any) -> Grown:
        """A node whose elements are these integers for GROWN rows."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [value.name for value in inputs], [name], **attributes))
        self._known[name] = np.asarray(numbers, np.int64)
        return Grown(name, self._known[name].shape, math.inf, TensorProto.INT64)

    def rows(self) -> Grown:
        """The number of rows, as a list of one."""
        value = self.inputs[0]
        shape = self.computed("Shape", [value], value.shape)
        return self.computed("Gather", [shape, self.ints([0])], [GROWN], axis=0)

    def target(self, dims: Sequence[int]) -> Grown:
        """A list of dimensions, each written down or computed from the number of rows."""
        if not any(self.number(0, 1) for dim in dims if dim > 0 and dim % GROWN == 0):
            return self.ints(list(dims))
        parts = []
        for dim in dims:
            if dim > 0 and dim % GROWN == 0 and self.number(0, 2):
                part = self.rows()
                if dim != GROWN:
                    part = self.computed("Mul", [part, self.ints([dim // GROWN])], [dim])
            else:
                part = self.ints([dim])
            parts.append(part)
        return self.computed("Concat", parts, list(dims), axis=0)

    def add(
        self, op: str, inputs: Sequence[Grown | None], limit: float, *, outputs: int = 1, **attributes: Any
    ) -> list[Grown]:
        """A node; UnfitError for one that its operator or its inputs do not allow."""
        names = [value.name if value is not None else "" for value in inputs]
        made = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        domain = schema.DOMAIN if op == schema.RRELU else ""
        node = helper.make_node(op, names, made, domain=domain, **attributes)
        types = {v.name: helper.make_tensor_type_proto(v.dtype, v.shape) for v in inputs if v is not None}
        data = {name: numpy_helper.from_array(self._known[name]) for name in names if name in self._known}
        imports = [helper.make_opsetid("", self.opset)]
        try:
            known = onnx.defs.get_schema(op, 1 if domain else self.opset, domain)
            found = onnx.shape_inference.infer_node_outputs(known, node, types, data, opset_imports=imports)
        except (
            onnx.defs.SchemaError,
            onnx.shape_inference.InferenceError,
            onnx.checker.ValidationError,
        ) as error:
            raise UnfitError from error
        values = [self._grown(name, found.get(name), limit) for name in made]
        self.nodes.append(node)
        self.values += values
        return values

    def add_with_axes(
        self, op: str, x: Grown, axes: list[int] | None, limit: float, *, since: int = 13, **attributes: Any
    ) -> Grown:
        """A node with axes: an attribute, which is an input from opset `since` on; None leaves them out."""
        if axes is None:
            return self.add(op, [x], limit, **attributes)[0]
        if self.opset < since:
            return self.add(op, [x], limit, axes=axes, **attributes)[0]
        return self.add(op, [x, self.ints(axes)], limit, **attributes)[0]

    def _grown(self, name: str, kind: onnx.TypeProto | None, limit: float) -> Grown:
        if kind is None or not kind.tensor_type.HasField("shape"):
            raise UnfitError
        shape = tuple(d.dim_value for d in kind.tensor_type.shape.dim)
        if not 0 < math.prod(shape) <= _LARGEST or len(shape) > 5:
            raise UnfitError
        return Grown(name, shape, limit if limit <= _EXACT else math.inf, kind.tensor_type.elem_type)

    def model(self, outputs: Sequence[Grown]) -> onnx.ModelProto:
        """The model with these outputs, and no node that they do not need."""
        needed, nodes = {value.name for value in outputs}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed |= set(node.input) | set(_read_in_bodies(node))

        def info(value: Grown) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(value.name, value.dtype, ["batch", *value.shape[1:]])

        graph = helper.make_graph(
            nodes[::-1],
            "grown",
            [info(value) for value in self.inputs],
            [info(value) for value in outputs],
            [tensor for name, tensor in self.constants.items() if name in needed],
        )
        imports = [helper.make_opsetid("", self.opset), schema.opset_import()]
        return helper.make_model(graph, opset_imports=imports, ir_version=9)


def _read_in_bodies(node: onnx.NodeProto) -> list[str]:
    bodies = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return [name for body in bodies for inner in body.node for name in inner.input]
