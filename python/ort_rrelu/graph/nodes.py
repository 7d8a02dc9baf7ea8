"""The nodes of a model, in graphs, bodies and functions: walks over them, what they read, free names."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator

import onnx

from ort_rrelu import schema

Container = onnx.GraphProto | onnx.FunctionProto
Key = tuple[str, str, str]  # a function's domain, name and overload

# ONNX's operators that draw: a session keeps their state to itself.
RANDOM_OPS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def canonical(domain: str) -> str:
    """One name for a domain: ONNX's own has two, of which this takes the empty one."""
    return "" if domain == "ai.onnx" else domain


def is_standard(domain: str) -> bool:
    """Is it ONNX's own domain?"""
    return not canonical(domain)


_BODIES = (_GRAPH, _GRAPHS) = int(onnx.AttributeProto.GRAPH), int(onnx.AttributeProto.GRAPHS)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The bodies of a control-flow node, but those that are attributes of the function that it is in."""
    for attribute in node.attribute:
        kind = attribute.type
        if kind not in _BODIES or attribute.ref_attr_name:
            continue
        if kind == _GRAPH:
            yield attribute.g
        else:
            yield from attribute.graphs


def graph_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node of a graph and of the bodies in it, in order."""
    return _with_bodies(list(graph.node))


def function_nodes(function: onnx.FunctionProto) -> Iterator[onnx.NodeProto]:
    """Every node of a function and of the bodies in it, in order."""
    return _with_bodies(list(function.node))


def all_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node of a model, those of its functions last."""
    yield from graph_nodes(model.graph)
    for function in model.functions:
        yield from function_nodes(function)


def nodes_of_ours(containers: Iterable[Container]) -> list[onnx.NodeProto]:
    """The nodes of our domain in graphs or functions and in the bodies there, in order."""
    found: list[onnx.NodeProto] = []
    for container in containers:
        _collect(container, found)
    return found


def _collect(container: Container, found: list[onnx.NodeProto]) -> None:
    """In half the time of function_nodes: opening a session waits for it."""
    for node in container.node:
        if node.domain == schema.DOMAIN:
            found.append(node)
        for attribute in node.attribute:
            kind = attribute.type
            if kind in _BODIES and not attribute.ref_attr_name:
                for body in (attribute.g,) if kind == _GRAPH else attribute.graphs:
                    _collect(body, found)


def _with_bodies(nodes: list[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        if node.attribute:
            for graph in subgraphs(node):
                yield from graph_nodes(graph)


def all_graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    """The model's graph, and the bodies in it and in its functions."""
    return [model.graph, *(body for node in all_nodes(model) for body in subgraphs(node))]


def all_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that is stored in a model: initializers, and attributes."""
    for graph in all_graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in all_nodes(model):
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def key_of(function: onnx.FunctionProto) -> Key:
    """How nodes call it."""
    return function.domain, function.name, function.overload


def key_of_callee(node: onnx.NodeProto) -> Key:
    """The function that a node calls, if the model has it."""
    return node.domain, node.op_type, node.overload


def fed_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller has to feed: an initializer of an input's name is its default."""
    defaults = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in defaults]


def reads(container: Container) -> Iterator[str]:
    """What a graph or function and the bodies in it read, outputs too: a name as often as it is read."""
    for node in container.node:
        yield from reads_of(node)
    if isinstance(container, onnx.FunctionProto):
        yield from container.output
    else:
        yield from (value.name for value in container.output)


def reads_of(node: onnx.NodeProto) -> Iterator[str]:
    """What a node and the nodes in its bodies read, and the outputs of these bodies."""
    yield from node.input
    for body in subgraphs(node):
        yield from reads(body)


def value_names(container: Container) -> set[str]:
    """The names of all values of a graph or function, those in bodies too."""
    if isinstance(container, onnx.FunctionProto):
        names = {*container.input, *container.output}
    else:
        names = {value.name for value in (*container.input, *container.initializer, *container.output)}
    for node in container.node:
        names.update(node.input, node.output, *map(value_names, subgraphs(node)))
    return names


LOOPS = ("Loop", "Scan")


def is_standard_op(node: onnx.NodeProto, *op_types: str) -> bool:
    """Is it one of these operators of ONNX? Other domains may have any operators of the same names."""
    return is_standard(node.domain) and node.op_type in op_types


def is_rrelu(node: onnx.NodeProto) -> bool:
    """Is it a node of ours, and not its gradient?"""
    return bool(node.domain == schema.DOMAIN and node.op_type == schema.RRELU)


def is_gradient(node: onnx.NodeProto) -> bool:
    """Is it an RReluGrad node?"""
    return bool(node.domain == schema.DOMAIN and node.op_type == schema.RRELU_GRAD)


def our_nodes(model: onnx.ModelProto, op_type: str = schema.RRELU) -> list[onnx.NodeProto]:
    """The nodes of one of our ops."""
    nodes = nodes_of_ours((model.graph, *model.functions))
    return [node for node in nodes if node.op_type == op_type]


def step_of(node: onnx.NodeProto) -> str:
    """The name of an RRelu node's step, empty when it has none."""
    return str(node.input[1]) if len(node.input) > 1 else ""


def name_of(node: onnx.NodeProto) -> str:
    """A node's name, or that of its first output where it has none."""
    return str(node.name or node.output[0])


def label(node: onnx.NodeProto) -> str:
    """How messages call a node; the kernels' messages call it the same."""
    op = f"{node.domain}:{node.op_type}" if node.domain else node.op_type
    if node.name:
        return f'{op} node "{node.name}"'
    return f'{op} node with output "{node.output[0] if node.output else ""}"'


def set_attribute(node: onnx.NodeProto, name: str, value: float) -> None:
    """Set an attribute, in place, also one that is absent or refers to a function's."""
    place = next((attribute for attribute in node.attribute if attribute.name == name), None)
    (node.attribute.add() if place is None else place).CopyFrom(onnx.helper.make_attribute(name, value))


class Names:
    """The names of all values and nodes, in bodies and functions too.

    A value in a body would hide an outer one of its name, and converters know a node by its name alone.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._taken = {node.name for node in all_nodes(model)}
        self._taken.update(*map(value_names, (model.graph, *model.functions)))
        self._sorted = sorted(self._taken)

    def new(self, name: str) -> str:
        """`name`, or with a number at its end."""
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        free = next(each for each in itertools.chain([name], numbered) if each not in self._taken)
        self._take(free)
        return free

    def prefix(self, name: str) -> str:
        """`name`, or with a number at its end: a beginning that no other name has."""
        numbered = (f"{name}_{number}_" for number in itertools.count(1))
        candidates = itertools.chain([f"{name}_"], numbered)
        free = next(each for each in candidates if not self._begins_one(each))
        self._take(free)
        return free

    def _take(self, name: str) -> None:
        self._taken.add(name)
        bisect.insort(self._sorted, name)

    def _begins_one(self, beginning: str) -> bool:
        """Names with one beginning stand together, behind the beginning itself."""
        place = bisect.bisect_left(self._sorted, beginning)
        return place < len(self._sorted) and self._sorted[place].startswith(beginning)
