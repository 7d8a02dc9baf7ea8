"""Nodes written one after the other: the body of a function or of a branch in it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, DTypeLike
from onnx import helper, numpy_helper

_FLOAT, _DOUBLE = onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE
_INT64, _UINT64 = onnx.TensorProto.INT64, onnx.TensorProto.UINT64


class Body:
    """Every method writes one node and returns the names of what it computes; `results` are the body's.

    A node has the name of its output: tools that convert or quantize models know nodes by their names.
    A branch may read the values of the body around it, so its names begin with a prefix of their own.
    """

    def __init__(self, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.results: tuple[str, ...] = ()
        self._prefix = prefix
        self._numbers = itertools.count()
        self._constants: dict[bytes, str] = {}

    def _name(self) -> str:
        return f"{self._prefix}{next(self._numbers)}"

    def __call__(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """A standard operator."""
        name = out or self._name()
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, value: ArrayLike, dtype: DTypeLike) -> str:
        """One node for all uses of a value."""
        tensor = numpy_helper.from_array(np.asarray(value, dtype))
        key = tensor.SerializeToString()
        if key not in self._constants:
            self._constants[key] = self("Constant", value=tensor)
        return self._constants[key]

    def attribute(self, name: str, kind: int) -> str:
        """The function's attribute of that name: an INT, which gives an int64, or a FLOAT, a float."""
        value = self("Constant")
        field = "value_float" if kind == onnx.AttributeProto.FLOAT else "value_int"
        self.nodes[-1].attribute.add(name=field, ref_attr_name=name, type=kind)
        return value

    def to_float(self, value: str) -> str:
        return self("Cast", value, to=_FLOAT)

    def to_double(self, value: str) -> str:
        return self("Cast", value, to=_DOUBLE)

    def to_int64(self, value: str) -> str:
        return self("Cast", value, to=_INT64)

    def to_uint64(self, value: str) -> str:
        return self("Cast", value, to=_UINT64)

    def either(
        self, condition: str, then: Body, otherwise: Body, outs: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """The results of one branch or the other."""
        names = outs or tuple(self._name() for _ in then.results)
        graphs = {
            f"{word}_branch": helper.make_graph(
                branch.nodes, word, [], [onnx.ValueInfoProto(name=name) for name in branch.results]
            )
            for word, branch in (("then", then), ("else", otherwise))
        }
        self.nodes.append(helper.make_node("If", [condition], names, names[0], **graphs))
        return names
