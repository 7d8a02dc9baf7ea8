"""Our functions under other names, as tools that merge models give them, recognized by their bodies.

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
from ort_rrelu.graph.edit import drop_functions
from ort_rrelu.graph.embedding import embed_functions
from ort_rrelu.graph.form import check_form
from ort_rrelu.graph.nodes import all_nodes, canonical
from ort_rrelu.graph.opset import complete_imports

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
    if not model.functions:
        return {}
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
    drop_functions(model)  # no model may have two of one name
    embedded = onnx.ModelProto()
    embedded.CopyFrom(model)
    try:
        check_form(embedded)
        complete_imports(embedded)
        embed_functions(embedded)
    except InvalidValueError as error:
        warnings.warn(
            f"functions of ours in a merged model cannot become one, and are dropped: {error}; it runs where "
            "the library is registered",
            stacklevel=2,
        )
    else:
        model.CopyFrom(embedded)


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
        domain = canonical(node.domain)
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


# Digests. One that is here stays, for models that were written with it; a change of a body adds some.
_RRELU = """
    b7a2b3e752134053abe51d83b2e96120
    a6357fb82954cf933acc6bce2e5ac113
    b2b56789133f4ed4b1aac6de6aa36364
    76428cebcd7ecfd8e0ac49e30f1bce73
    eabfb18f235b8cd808da537ec31c6016
    3abeeb563921b48bcdfda583c6cbba38
    7a56ddf6d34d1c64ad9717f3d08ad31e
    3ad3469348ddded776447721eeb17656
    5ff68dc73552e6c725b35b47a08ea67f
    fdd8a170cbed31e4e57162a641e100f3
    638f965aacf7efa19cbe4ffa54def057
    ab2ce333dca25e447bbc165a35d56262
    473d0376866976cc204e8ab0604b7e60
    a34169ef2f2b942ebbd68140b567ee55
    5abdf459f5eac58d967629306dad3028
    afa79a01891b740d56a89ea2f7baeb00
"""  # 0.1.0: with and without step, noise, a LeakyRelu for the usual bounds, RandomUniform


_RRELU_AS_STORED = """
    a754341ef7779a29aa143206eaea2c2a
    ca3d938b095841fb06fc1ce9dc7d392b
    7f240f481c7684f1c21d82b8fa02ffee
    16e493c2b121b84fa15610b148609ee5
    f3afa1f56de527ec01a9ba3f9ab54ac3
    2684be65fd612a9eaabd5e7801c4487b
    c6f56276bafafc82b4c6c64071e48f80
    89a1552fdb90548d1e7c92c51b925a0a
    5f7355aeb333a33d223b43d8d9c16ed0
    de811e9510fdfd3a9f21bbd8a08fbe5f
    03f09dfbafafe8adaccc7a0f4bcce875
    a93595ff3bb3f5d63db04897b66c87ec
    6c44ce1f7ac3d8981a8516e3d6f4991a
    00da84f00b9c94a9cefe6e4913581630
    212657f8af95fa191da45aff9b42e0d6
    81a352d931e9fdecd64594559069701c
"""  # The same, with a Reshape before casts of 16-bit types


_RRELU_OF_ROWS = """
    752acfd0314f44db4d7b6d9cdac9e4b7
    e903af932570b46b1a4b418e7afcf04b
    545826c65b7599757b976f59caa01149
    a3b1fc3abaa183c42a182e6cbc9ed7cc
    598c21b12a03c0337b40ad4ef996be97
    1d5ccfe45aa4c9a5e39c499ece10cff0
    6b6dd3b66488a9facf3e082a8e17b0d0
    a06eb510dafcbad9251571c57b255836
"""  # Those with a step, which may be one for each row


_RRELU_GRAD = """
    e07cc3158db9da8ae49d03cf4f0c46b0
    131e4ee9e31db084c5b07085439ac86c
"""  # 0.1.0; with such a Reshape


# Digest -> op.
KNOWN_BODIES = {
    **dict.fromkeys((_RRELU + _RRELU_AS_STORED + _RRELU_OF_ROWS).split(), schema.RRELU),
    **dict.fromkeys(_RRELU_GRAD.split(), schema.RRELU_GRAD),
}
