"""A model walked from its inputs to its outputs, into bodies and functions: where each value has its rows."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ort_rrelu import schema
from ort_rrelu.graph.check import may_train
from ort_rrelu.graph.inference_guard import contradiction, open_negative_dimensions
from ort_rrelu.graph.nodes import (
    RANDOM_OPS,
    canonical,
    fed_inputs,
    graph_nodes,
    is_rrelu,
    is_standard,
    label,
    subgraphs,
)
from ort_rrelu.graph.rows.bodies import loop, one_of, scan
from ort_rrelu.graph.rows.numbers import computed, tensor_numbers
from ort_rrelu.graph.rows.rules import (
    LIKE_FIRST,
    NEWEST_OPSET,
    OLDEST_OPSET,
    OUR_RULES,
    REASONS,
    RULES,
    TAKES_SIZES,
    TYPE_ONLY,
    Kept,
    has_step_of_each_row,
)
from ort_rrelu.graph.rows.together import may_compute, reduces_rows, with_counts
from ort_rrelu.graph.rows.values import COUNTS, SAMPLE, Call, MixingError, NotLinearError, Rows, Size, Value

# Domains for which a runtime may have a kernel, which then runs in place of the model's function.
_WITH_KERNELS = ("ai.onnx", "com.microsoft", "com.ms")
# Why a train node mixes rows whose step is one for all of them.
ONE_STEP = "is in train mode: slopes depend on the place in the batch, unless each row has a step of its own"
_UNKNOWN = "is not known to keep the rows of a batch apart"
_CAUSES = 20  # that a value remembers: each is enough
_DEEPEST = 50  # functions in functions
_Functions = Mapping[tuple[str, str, str], onnx.FunctionProto]


@dataclass(frozen=True)
class Draw:
    """An RRelu node of a graph or a body, and why its rows may see each other; no cause where they do not."""

    node: onnx.NodeProto
    causes: tuple[str, ...]


def followed(
    model: onnx.ModelProto, batched: Iterable[str], draws: list[Draw] | None = None, *, together: bool = False
) -> list[Value]:
    """The values of the model's outputs, when the inputs named in `batched` have rows on axis 0.

    Nothing that the model says of its values' shapes is read, but for its inputs' other dimensions. draws:
    gets the RRelu nodes in graph and bodies, a node several times where several things are found of it.

    together: what all rows give together, such as a mean over the batch, may reach each of them. Rows then
    are not apart, but keep their places: if those of the inputs change places, so do those of every value.
    """
    batched = set(batched)
    functions = {(canonical(f.domain), f.name, f.overload): f for f in model.functions}
    scope = _Scope(_opsets(model.opset_import), functions, together, draws=[] if draws is None else draws)
    for value in fed_inputs(model):
        scope.values[value.name] = _input(value, value.name in batched)
    return scope.graph(model.graph)


def _opsets(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    return {canonical(o.domain): o.version for o in imports}


def _input(info: onnx.ValueInfoProto, batched: bool) -> Value:
    value = onnx.TypeProto()
    value.CopyFrom(info.type)
    open_negative_dimensions(value)
    if not batched or not value.tensor_type.shape.dim:
        return Value(value)
    value.tensor_type.shape.dim[0].dim_value = SAMPLE
    return Value(value, Rows(0), of_integers=True)


@dataclass
class _Scope:
    """The names of a graph, a body or a function."""

    opsets: Mapping[str, int]
    functions: _Functions
    together: bool
    attributes: Mapping[str, onnx.AttributeProto] = field(default_factory=dict)
    values: ChainMap[str, Value] = field(default_factory=ChainMap)
    depth: int = 0
    draws: list[Draw] = field(default_factory=list)

    def graph(self, graph: onnx.GraphProto) -> list[Value]:
        """Follow its nodes; the values of its outputs."""
        for tensor in graph.initializer:
            self.values[tensor.name] = _weight(tensor)
        for sparse in graph.sparse_initializer:
            kind = helper.make_tensor_type_proto(sparse.values.data_type, list(sparse.dims))
            self.values[sparse.values.name] = Value(kind)
        self._nodes(graph.node)
        return [self._value(output.name) for output in graph.output]

    def body(self, graph: onnx.GraphProto, inputs: Sequence[Value]) -> list[Value]:
        """The outputs of a body of one of this scope's nodes."""
        inner = replace(self, values=self.values.new_child())
        for info, value in zip(graph.input, inputs, strict=True):
            inner.values[info.name] = value
        return inner.graph(graph)

    def _nodes(self, nodes: Iterable[onnx.NodeProto]) -> None:
        for node in nodes:
            node = _bound(node, self.attributes)
            try:
                outputs = self._outputs(node)
            except MixingError as error:
                outputs = [_mixed(node, error)] * len(node.output)
            self.draws.extend(_drawn(node, outputs))
            for name, value in zip(node.output, outputs, strict=False):
                self.values[name] = value

    def _value(self, name: str) -> Value:
        missing = (f'value "{name}" is read, and nothing gives it',)
        return self.values.get(name) or Value(onnx.TypeProto(), causes=missing)

    def _outputs(self, node: onnx.NodeProto) -> list[Value]:
        inputs = [self._value(name) if name else None for name in node.input]
        if causes := _causes(inputs):
            return [Value(onnx.TypeProto(), causes=causes)] * len(node.output)
        key = (canonical(node.domain), node.op_type, node.overload)
        if key in self.functions and not (node.domain == schema.DOMAIN and node.op_type in OUR_RULES):
            return self._call_function(node, self.functions[key], inputs)
        if node.domain == schema.DOMAIN:
            return self._call(node, inputs, 1)
        if not is_standard(node.domain):
            raise MixingError(_UNKNOWN)
        opset = self.opsets.get("", 0)
        if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
            raise MixingError(f"is of opset {opset}: {OLDEST_OPSET} to {NEWEST_OPSET} are known")
        if not any(True for _ in subgraphs(node)):
            return self._call(node, inputs, opset)
        if node.op_type not in _BODIES or opset < 9:  # Scan had another meaning before
            raise MixingError(_UNKNOWN)
        try:
            return _BODIES[node.op_type](self.body, node, inputs)
        except (IndexError, ValueError) as error:  # of lists that do not fit: no runtime takes them
            raise _misfit(error) from error

    def _call(self, node: onnx.NodeProto, inputs: Sequence[Value | None], opset: int) -> list[Value]:
        """An operator's outputs."""
        if (reason := _draws(node, inputs)) is not None:
            raise MixingError(reason)
        call = Call(node.op_type, opset, _attributes(node), inputs, len(node.output))
        try:
            types = _inferred(node, inputs, opset)
        except onnx.shape_inference.InferenceError as error:
            _judged(node, call)  # whose reason says more, where there is one
            raise _misfit(error) from error
        found = [types.get(name, onnx.TypeProto()) for name in node.output]
        for kind in found:
            open_negative_dimensions(kind)
        if node.op_type in LIKE_FIRST:
            found[0] = call.need(0).type
        if is_standard(node.domain):
            if (numbers := self._computed(call)) is not None:
                return [Value(found[0], numbers=numbers)]
            call = with_counts(call) if self.together else call
            if self.together and reduces_rows(call):
                return [Value(kind) for kind in found]
        kept = _judged(node, call)
        if kept is None:
            return [Value(kind) for kind in found]
        values = _checked(node, kept, found)
        if is_standard(node.domain) and all(value is None or value.exact for value in inputs):
            return [replace(value, of_integers=value.integer) for value in values]
        return values

    def _computed(self, call: Call) -> Any:
        try:
            return computed(call)
        except NotLinearError:
            if self.together and may_compute(call):
                return None
            raise MixingError(COUNTS) from None

    def _call_function(
        self, node: onnx.NodeProto, function: onnx.FunctionProto, inputs: Sequence[Value | None]
    ) -> list[Value]:
        if is_standard(node.domain) or node.domain.startswith(_WITH_KERNELS) or self.depth == _DEEPEST:
            raise MixingError("calls a function that is not looked into")
        given = zip(function.input, inputs, strict=False)
        defaults = {a.name: a for a in function.attribute_proto}
        inner = _Scope(
            _opsets(function.opset_import),
            self.functions,
            self.together,
            defaults | {a.name: a for a in node.attribute},
            ChainMap({name: value for name, value in given if value is not None}),
            self.depth + 1,
        )
        inner._nodes(function.node)
        return [inner._value(name) for name in function.output]


_BODIES = {"If": one_of, "Loop": loop, "Scan": scan}


def _weight(tensor: onnx.TensorProto) -> Value:
    dims = [None if dim < 0 else dim for dim in tensor.dims]
    kind = helper.make_tensor_type_proto(tensor.data_type, dims)
    return Value(kind, numbers=tensor_numbers(tensor))


def _bound(node: onnx.NodeProto, attributes: Mapping[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """The node with the attributes of the function's call in place of those that it refers to."""
    if not any(a.ref_attr_name for a in node.attribute):
        return node
    bound = onnx.NodeProto()
    bound.CopyFrom(node)
    del bound.attribute[:]
    for attribute in node.attribute:
        given = attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if given is not None:
            bound.attribute.add().CopyFrom(given)
            bound.attribute[-1].name = attribute.name
    return bound


def _causes(values: Iterable[Value | None]) -> tuple[str, ...]:
    causes = dict.fromkeys(cause for value in values if value is not None for cause in value.causes)
    return tuple(causes)[:_CAUSES]


def _mixed(node: onnx.NodeProto, error: MixingError) -> Value:
    return Value(onnx.TypeProto(), causes=(f"{label(node).removeprefix(':')} {error}",))


def _drawn(node: onnx.NodeProto, outputs: Sequence[Value]) -> Iterator[Draw]:
    """What is found of the node itself; where a body's outputs mix rows, of the nodes in it too.

    A loop passes them on to its next iteration, and the body may not have been followed at all.
    """
    causes = _causes(outputs[:1] if is_rrelu(node) else outputs)
    if is_rrelu(node):
        yield Draw(node, causes)
    elif causes:
        inner = (each for body in subgraphs(node) for each in graph_nodes(body))
        yield from (Draw(each, causes) for each in filter(is_rrelu, inner))


def _draws(node: onnx.NodeProto, inputs: Sequence[Value | None]) -> str | None:
    if is_rrelu(node) and may_train(node) and not has_step_of_each_row(inputs):
        return ONE_STEP
    if is_standard(node.domain) and node.op_type in RANDOM_OPS:
        return "draws random numbers, which depend on the place in the batch"
    return None


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    try:
        return {a.name: helper.get_attribute_value(a) for a in node.attribute}
    except ValueError as error:  # of a type that there is not
        raise _misfit(error) from error


def _inferred(node: onnx.NodeProto, inputs: Sequence[Value | None], opset: int) -> dict[str, onnx.TypeProto]:
    """The types of its outputs for SAMPLE rows. Raises MixingError for a node that its schema refuses."""
    types, data = {}, {}
    for name, value in zip(node.input, inputs, strict=True):
        if value is None:
            continue
        types[name] = value.type
        if (tensor := _sample(value)) is not None:
            data[name] = tensor
    if (problem := contradiction(node)) is not None:  # onnx would end the process
        raise MixingError(f"does not fit its inputs or outputs: {problem}")
    domain = canonical(node.domain)
    imports = [helper.make_opsetid(domain, opset)]
    try:
        known = onnx.defs.get_schema(node.op_type, opset, domain)
        return onnx.shape_inference.infer_node_outputs(known, node, types, data, opset_imports=imports)
    except onnx.defs.SchemaError:
        raise MixingError(_UNKNOWN) from None
    except (onnx.checker.ValidationError, ValueError) as error:  # ValueError: of a type that there is not
        raise _misfit(error) from error


def _misfit(error: Exception) -> MixingError:
    return MixingError(f"does not fit its inputs: {' '.join(str(error).split())}")


def _sample(value: Value) -> onnx.TensorProto | None:
    """The elements for SAMPLE rows."""
    if value.numbers is None or not value.type.tensor_type.elem_type:
        return None
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    numbers = [number.sample if isinstance(number, Size) else number for number in value.numbers.flat]
    try:
        return onnx.numpy_helper.from_array(np.array(numbers, dtype).reshape(value.numbers.shape))
    except OverflowError:  # as many rows as no machine holds
        return None


def _judged(node: onnx.NodeProto, call: Call) -> Kept | None:
    """What the operator's rule says, None where no input depends on the batch."""
    call = replace(call, inputs=call.inputs[: TYPE_ONLY.get(node.op_type, len(call.inputs))])
    if not any(value and (value.rows or value.sized) for value in call.inputs):
        return None
    for index, value in enumerate(call.inputs):
        if value is not None and value.sized and index != TAKES_SIZES.get(node.op_type):
            raise MixingError(COUNTS)
    rule = (OUR_RULES if node.domain == schema.DOMAIN else RULES).get(node.op_type)
    if rule is None:
        raise MixingError(REASONS.get(node.op_type, _UNKNOWN))
    try:
        return rule(call)
    except (IndexError, ValueError) as error:  # of axes and lists that do not fit: no runtime takes them
        raise _misfit(error) from error


def _checked(node: onnx.NodeProto, kept: Kept, types: Sequence[onnx.TypeProto]) -> list[Value]:
    """The outputs; the rule and shape inference, which know nothing of each other, must agree."""
    several = [kept] * len(types) if isinstance(kept, Rows) else kept
    values = []
    for rows, kind in zip(several, types, strict=False):
        if isinstance(rows, MixingError):
            values.append(_mixed(node, rows))
            continue
        value = Value(kind, rows)
        shape = value.shape
        if shape is not None and shape[rows.axis] not in (None, rows.size.sample):
            raise MixingError("has an output whose shape is not what its operator gives")
        values.append(value)
    return values
