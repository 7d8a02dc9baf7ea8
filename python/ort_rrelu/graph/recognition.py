"""Our functions under other names, as tools that merge models give them: recognized by their bodies.

onnx.compose puts a prefix before the names of a model's functions. The kernels have names of their own, so
such a node would run its function for ever.
"""

from __future__ import annotations

import functools
import hashlib
import warnings
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import onnx

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.functions import mean_slope
from ort_rrelu.graph.known_bodies import KNOWN_BODIES
from ort_rrelu.graph.nodes import all_nodes

__all__ = ["digest", "give_names_back", "with_our_names"]

_Name = tuple[str, str]  # op type and overload
_ALPHA = float(np.float32(0.01))  # of a LeakyRelu that has none


def with_our_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself where nothing of ours has another name, else a copy with our names."""
    if not _renamed(model):
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    give_names_back(copy)
    return copy


def give_names_back(model: onnx.ModelProto) -> bool:
    """Give nodes, in place, whose function has a body of ours the name of its op; were there any?

    One function of each op is left, which fits all nodes: where those of merged models differ, `portable`
    writes it. What it refuses, train nodes with and without a step in one model, only kernels can run: the
    functions are dropped, and a warning says so.
    """
    ops = _renamed(model)
    if not ops:
        return False
    for node in all_nodes(model):
        if node.domain == schema.DOMAIN and (op := ops.get((node.op_type, node.overload))) is not None:
            node.op_type = op
            node.ClearField("overload")
    for function in model.functions:
        if function.domain == schema.DOMAIN and (op := ops.get((function.name, function.overload))):
            function.name = op
            function.ClearField("overload")
    _leave_one_of_each(model)
    return True


def _renamed(model: onnx.ModelProto) -> dict[_Name, str]:
    """The op of each function of ours that does not have its name."""
    known = schema.schemas()
    strangers = (f for f in model.functions if f.domain == schema.DOMAIN and f.name not in known)
    ops = ((f.name, f.overload, KNOWN_BODIES.get(digest(f))) for f in strangers)
    return {(name, overload): op for name, overload, op in ops if op is not None}


def _leave_one_of_each(model: onnx.ModelProto) -> None:
    ours = [function for function in model.functions if function.domain == schema.DOMAIN]
    first: dict[str, onnx.FunctionProto] = {}
    for function in ours:
        first.setdefault(function.name, function)
    if any(_interface(function) != _interface(first[function.name]) for function in ours):
        _write_functions_again(model)
        return
    # Bodies for other bounds give the same bits.
    kept = [f for f in model.functions if f.domain != schema.DOMAIN or f is first[f.name]]
    functions = [onnx.FunctionProto.FromString(function.SerializeToString()) for function in kept]
    del model.functions[:]
    model.functions.extend(functions)


def _interface(function: onnx.FunctionProto) -> tuple[str | None, int, int]:
    return KNOWN_BODIES.get(digest(function)), len(function.input), len(function.output)


def _write_functions_again(model: onnx.ModelProto) -> None:
    from ort_rrelu.graph.portable import drop_functions, portable  # which reads models by way of this file

    drop_functions(model)  # no model may have two of one name
    try:
        model.CopyFrom(portable(model))
    except InvalidValueError as error:
        warnings.warn(
            f"functions of ours in a merged model cannot become one, and are dropped: {error}; it runs where "
            "the library is registered",
            stacklevel=2,
        )


class _Value(NamedTuple):
    """What computes a value, as a digest; the attribute or the float that a Constant gives."""

    digest: str
    attribute: str = ""
    number: float | None = None


_Values = Mapping[str, _Value]


def digest(function: onnx.FunctionProto) -> str:
    """Equal for functions that compute alike.

    Names, the order of nodes and what is written about them are left out, and so are the bounds for which
    eval mode takes a LeakyRelu, if its slope is their mean.
    """
    reader = _Reader()
    inputs = {name: _Value(f"input {place}") for place, name in enumerate(function.input)}
    values = reader.run(function.node, inputs)
    outputs = [_known(values, name).digest for name in function.output]
    defaults = [attribute.SerializeToString() for attribute in function.attribute_proto]  # ours have none
    return _hash(len(function.input), outputs, sorted(map(str, function.attribute)), defaults, reader.fits())


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]


def _known(values: _Values, name: str) -> _Value:
    return values.get(name) or _Value(f"unknown {name}" if name else "")


class _Reader:
    """Digests of a function's values, and the bounds that are written into it."""

    def __init__(self) -> None:
        self._bounds: set[tuple[str, float]] = set()
        self._slopes: set[float] = set()

    def fits(self) -> bool:
        """Have LeakyRelu nodes the slope of the bounds that they are for?"""
        if not self._bounds and not self._slopes:
            return True
        bounds = dict(self._bounds)
        if len(self._bounds) != 2 or set(bounds) != {"lower", "upper"} or len(self._slopes) != 1:
            return False
        slope = mean_slope((bounds["lower"], bounds["upper"]))
        return slope > 0 and self._slopes == {slope}

    def run(self, nodes: Iterable[onnx.NodeProto], outer: _Values) -> dict[str, _Value]:
        values = dict(outer)
        for node in nodes:
            values |= self._outputs(node, values)
        return values

    def _outputs(self, node: onnx.NodeProto, values: _Values) -> dict[str, _Value]:
        inputs = [_known(values, name) for name in node.input]
        domain = "" if node.domain == "ai.onnx" else node.domain
        defaults = _defaults(str(node.op_type)) if not domain else {}
        attributes = {str(a.name): self._attribute(a, values) for a in node.attribute}
        attributes = {name: value for name, value in attributes.items() if defaults.get(name) != value}
        if not domain and node.op_type == "Equal":
            inputs = self._without_bounds(inputs)
        if not domain and node.op_type == "LeakyRelu":
            self._slopes.add(next((a.f for a in node.attribute if a.name == "alpha"), _ALPHA))
            attributes["alpha"] = "the mean of the bounds"
        facts = _hash(
            domain, node.op_type, node.overload, [v.digest for v in inputs], sorted(attributes.items())
        )
        reference, number = _constant(node)
        return {name: _Value(f"{facts} {place}", reference, number) for place, name in enumerate(node.output)}

    def _without_bounds(self, inputs: list[_Value]) -> list[_Value]:
        """Of an Equal of a bound and a number: the number is one that is written into the function."""
        if len(inputs) != 2 or inputs[0].attribute not in ("lower", "upper") or inputs[1].number is None:
            return inputs
        self._bounds.add((inputs[0].attribute, inputs[1].number))
        return [inputs[0], _Value("a bound")]

    def _attribute(self, attribute: onnx.AttributeProto, values: _Values) -> str:
        if attribute.ref_attr_name:
            return f"attribute {attribute.ref_attr_name} {attribute.type}"
        if attribute.type == onnx.AttributeProto.GRAPH:
            return self._graph(attribute.g, values)
        if attribute.type == onnx.AttributeProto.TENSOR:
            return _tensor(attribute.t)
        return _plain(attribute)

    def _graph(self, graph: onnx.GraphProto, outer: _Values) -> str:
        constants = (
            onnx.helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in graph.initializer
        )
        values = self.run([*constants, *graph.node], outer)
        outputs = [_known(values, value.name).digest for value in graph.output]
        return _hash(outputs, len(graph.input), len(graph.sparse_initializer))


# Those that our bodies have; another one makes no body of ours.
_PLAIN_FIELDS = ("f", "i", "s", "floats", "ints", "strings")


def _plain(attribute: onnx.AttributeProto) -> str:
    values = (getattr(attribute, field) for field in _PLAIN_FIELDS)
    return _hash(attribute.type, *(v if isinstance(v, float | int | bytes) else list(v) for v in values))


@functools.cache
def _defaults(op: str) -> dict[str, str]:
    """The attributes that need not be written, of a standard operator; some tools write them."""
    if not onnx.defs.has(op):
        return {}
    attributes = onnx.defs.get_schema(op).attributes.items()
    return {name: _plain(a.default_value) for name, a in attributes if not a.required}


def _tensor(tensor: onnx.TensorProto) -> str:
    """Of one that is stored in bytes, as ours are."""
    return _hash(tensor.data_type, list(tensor.dims), tensor.raw_data, tensor.data_location)


def _constant(node: onnx.NodeProto) -> tuple[str, float | None]:
    """The attribute of the function, or the float scalar, that a Constant gives."""
    if node.op_type != "Constant" or len(node.attribute) != 1:
        return "", None
    value = node.attribute[0]
    if value.ref_attr_name:
        return value.ref_attr_name, None
    tensor = value.t
    scalar = value.type == onnx.AttributeProto.TENSOR and not tensor.dims
    if not scalar or tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.raw_data) != 4:
        return "", None
    return "", float(np.frombuffer(tensor.raw_data, "<f4")[0])
