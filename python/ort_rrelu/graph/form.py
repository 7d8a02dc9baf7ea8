"""What must hold of a model before tools look into it, and of each node by its operator's schema."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import onnx
from onnx.defs import OpSchema, SchemaError

from ort_rrelu import schema
from ort_rrelu.errors import InvalidValueError
from ort_rrelu.graph.calls import callers_first
from ort_rrelu.graph.inference_guard import check_inferable
from ort_rrelu.graph.nodes import (
    LOOPS,
    Container,
    function_nodes,
    graph_nodes,
    is_standard,
    is_standard_op,
    key_of,
    label,
    subgraphs,
)
from ort_rrelu.graph.opset import opset_of

# One in the other: protobuf reads 100 messages in one another, and each body takes three.
MOST_BODIES = 31


_MOST_NODES = 10_000_000  # of the graph, when each call of a function is written out


_TYPE_NAME = onnx.AttributeProto.AttributeType.Name


_NEWEST = 2**31 - 1  # as onnx.defs takes a version


def check_form(model: onnx.ModelProto) -> None:
    """Refuse a model that cannot be walked through: what is refused here, ONNX Runtime refuses too.

    But for names that are no text, which it takes as bytes and Python's protobuf cannot write.

    Raises:
        InvalidValueError: it names the node, and what is wrong: a name that is not UTF-8; inputs, outputs or
            attributes that are not those of the operator (see check_signature), or that no shape inference
            survives (see check_inferable); a value that two nodes write; a node that reads what is computed
            from its own output; bodies nested too deeply; functions that call themselves, that have one name,
            or that would be more than 10,000,000 nodes in the graph.
    """
    for importer in (model, *model.functions):
        for entry in importer.opset_import:
            _check_text("an opset_import", entry.domain)
    for container in (model.graph, *model.functions):
        _check_depth(container.node, MOST_BODIES)
        _check_texts(container)
    _check_size(model)
    _check_nodes(graph_nodes(model.graph), opset_of(model), in_function=False)
    for function in model.functions:
        _check_nodes(function_nodes(function), opset_of(function), in_function=True)
    for container in (model.graph, *model.functions):
        _check_order(container)
    check_inferable(model)


def _check_depth(nodes: Iterable[onnx.NodeProto], left: int) -> None:
    for node in nodes:
        for body in subgraphs(node):
            if not left:
                raise InvalidValueError(
                    f"{label(node)}: it is in more than {MOST_BODIES} nested bodies: no file can hold them"
                )
            _check_depth(body.node, left - 1)


def _check_texts(container: Container) -> None:
    """Protobuf gives text that is not UTF-8 as bytes."""
    for name in _names_of(container):
        _check_text("a value or function", name)
    for node in container.node:
        texts = [node.op_type, node.domain, node.overload, node.name, *node.input, *node.output]
        texts += [text for a in node.attribute for text in (a.name, a.ref_attr_name)]
        if node.domain == schema.DOMAIN:
            texts.append(node.doc_string)
        for text in texts:
            _check_text(label(node), text)
        for body in subgraphs(node):
            _check_texts(body)


def _check_text(where: str, text: object) -> None:
    if isinstance(text, bytes):
        raise InvalidValueError(f"{where}: {text!r} is not UTF-8: names in a model are text: rename it")


def _names_of(container: Container) -> Iterator[str]:
    if isinstance(container, onnx.FunctionProto):
        yield from (container.domain, container.name, container.overload)
        yield from (*container.input, *container.output, *container.attribute)
        yield from (a.name for a in container.attribute_proto)
        return
    for values in (container.input, container.output, container.value_info, container.initializer):
        yield from (value.name for value in values)


def _check_size(model: onnx.ModelProto) -> None:
    """A function calls one twice, that another twice, and so on: a small file, and no end of nodes."""
    order = callers_first(model)
    sizes = {key_of(f): sum(1 for _ in function_nodes(f)) for f in model.functions}
    for caller in reversed(order):
        sizes[caller] += sum(sizes[callee] * times for callee, times in order[caller].items())
        if sizes[caller] > _MOST_NODES:
            raise InvalidValueError(
                f"function {caller[1]!r} with all that it calls is {sizes[caller]} nodes: {_MOST_NODES} are "
                "allowed"
            )


def _check_nodes(nodes: Iterable[onnx.NodeProto], opset: int | None, *, in_function: bool) -> None:
    for node in nodes:
        check_signature(node, opset)
        for attribute in node.attribute if not in_function else ():
            if attribute.ref_attr_name and (node.domain == schema.DOMAIN or _is_body(attribute)):
                raise InvalidValueError(
                    f"{label(node)}: attribute {attribute.name!r} refers to a function's "
                    f"{attribute.ref_attr_name!r}, and the node is in no function: write its value"
                )
        _check_bodies(node)


def _check_bodies(node: onnx.NodeProto) -> None:
    """What a loop hands to its body, which step_input counts on."""
    if not is_standard_op(node, *LOOPS):
        return
    body = next(a for a in node.attribute if a.name == "body")
    if not body.ref_attr_name:
        _check_inputs(node, body.g)


def _is_body(attribute: onnx.AttributeProto) -> bool:
    return attribute.type in {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}


def _check_inputs(node: onnx.NodeProto, body: onnx.GraphProto) -> None:
    least = 2 if node.op_type == "Loop" else 1
    if node.op_type == "Scan":
        number = next(a for a in node.attribute if a.name == "num_scan_inputs")
        scanned = number.i
        if not number.ref_attr_name and not 1 <= scanned <= len(body.input):
            raise InvalidValueError(
                f"{label(node)}: num_scan_inputs={scanned}: it must be from 1 to {len(body.input)}, the "
                "inputs of its body"
            )
    if len(body.input) < least:
        raise InvalidValueError(
            f"{label(node)}: its body has {len(body.input)} inputs: it must have {least} at least"
        )


def _check_order(container: Container) -> None:
    """Refuse a value that is written twice, and a cycle; nodes in another order than that are none."""
    _check_written_once(container)
    reads = [_read_by(node) for node in container.node]
    writer = {name: place for place, node in enumerate(container.node) for name in node.output if name}
    before = [{writer[name] for name in names if name in writer} for names in reads]
    if any(writer_place >= place for place, places in enumerate(before) for writer_place in places):
        _refuse_cycle(container, before)
    for node in container.node:
        for body in subgraphs(node):
            _check_order(body)


def _check_written_once(container: Container) -> None:
    if isinstance(container, onnx.FunctionProto):
        written = set(container.input)
    else:
        written = {value.name for values in (container.input, container.initializer) for value in values}
    for node in container.node:
        for name in filter(None, node.output):
            if name in written:
                raise InvalidValueError(
                    f'{label(node)}: it writes "{name}", which is an input, an initializer or written by '
                    "another output already: rename it"
                )
            written.add(name)


def _read_by(node: onnx.NodeProto) -> set[str]:
    """What it reads itself, and in its bodies from around them."""
    names = set(node.input)
    for body in subgraphs(node):
        own = {value.name for value in body.input} | {name for each in body.node for name in each.output}
        inner = {value.name for value in body.output}.union(*map(_read_by, body.node))
        names |= inner - own
    return names


def _refuse_cycle(container: Container, before: list[set[int]]) -> None:
    readers: list[list[int]] = [[] for _ in before]
    for place, places in enumerate(before):
        for each in places:
            readers[each].append(place)
    waiting = [len(places) for places in before]
    ready = [place for place, count in enumerate(waiting) if not count]
    done = 0
    while ready:
        done += 1
        for reader in readers[ready.pop()]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if done < len(before):
        node = next(container.node[place] for place, count in enumerate(waiting) if count)
        raise InvalidValueError(f"{label(node)}: it waits for its own output: a graph has no cycles")


@dataclass(frozen=True)
class _Names:
    """Of the inputs or outputs: how many there may be, and at which places a name must stand."""

    least: int
    most: int
    needed: tuple[bool, ...]


@dataclass(frozen=True)
class _Signature:
    inputs: _Names
    outputs: _Names
    types: Mapping[str, int]
    required: tuple[str, ...]


def check_signature(node: onnx.NodeProto, opset: int | None) -> None:
    """Raise InvalidValueError that names the node unless it has what its operator's schema asks for.

    As ONNX Runtime asks for it, too. That is the number of its inputs and outputs, names for those that are
    not optional, and in control flow the attributes. Operators of other domains than ONNX's and ours, and
    those that onnx does not know, pass.

    Args:
        node: of a graph or function.
        opset: the version of ONNX's operators there; None is the newest.
    """
    signature = _signature_of(node, opset)
    if signature is None:
        return
    _check_names(node, "input", node.input, signature.inputs)
    _check_names(node, "output", node.output, signature.outputs)
    _check_attributes(node, signature)


def _signature_of(node: onnx.NodeProto, opset: int | None) -> _Signature | None:
    if node.domain == schema.DOMAIN:
        return _signature(node.op_type, schema.VERSION, schema.DOMAIN)
    if is_standard(node.domain):
        return _signature(node.op_type, _NEWEST if opset is None else max(0, min(opset, _NEWEST)), "")
    return None


@functools.cache
def _signature(op_type: str, version: int, domain: str) -> _Signature | None:
    found = _schema(op_type, version, domain) or _schema(op_type, _NEWEST, domain)  # the operator is younger
    if found is None:
        return None
    types = {attribute.name: int(cast("Any", attribute.type)) for attribute in found.attributes.values()}
    has_bodies = onnx.AttributeProto.GRAPH in types.values()
    return _Signature(
        _names(found.inputs, found.min_input, found.max_input),
        _names(found.outputs, found.min_output, found.max_output),
        types if has_bodies else {},
        tuple(name for name in types if has_bodies and found.attributes[name].required),
    )


def _schema(op_type: str, version: int, domain: str) -> OpSchema | None:
    try:
        return onnx.defs.get_schema(op_type, version, domain)
    except SchemaError:
        return None


def _names(parameters: Sequence[OpSchema.FormalParameter], least: int, most: int) -> _Names:
    single = OpSchema.FormalParameterOption.Single
    return _Names(least, most, tuple(parameter.option == single for parameter in parameters))


def _check_names(node: onnx.NodeProto, what: str, names: Sequence[str], allowed: _Names) -> None:
    if not allowed.least <= len(names) <= allowed.most:
        span = f"{allowed.least}" if allowed.least == allowed.most else f"{allowed.least} to {allowed.most}"
        raise InvalidValueError(f"{label(node)}: it has {len(names)} {what}s: it must have {span}")
    for place, (name, needed) in enumerate(zip(names, allowed.needed, strict=False)):
        if needed and not name:
            raise InvalidValueError(f"{label(node)}: its {what} {place} has no name: it must have one")


def _check_attributes(node: onnx.NodeProto, signature: _Signature) -> None:
    names = [attribute.name for attribute in node.attribute]
    for name in names if len(set(names)) < len(names) else ():
        if names.count(name) > 1:
            raise InvalidValueError(f"{label(node)}: it has attribute {name!r} twice: one must go")
    for name in signature.required:
        if name not in names:
            raise InvalidValueError(f"{label(node)}: it has no attribute {name!r}: its operator needs one")
    for attribute in node.attribute:
        wanted = signature.types.get(attribute.name, attribute.type)
        if attribute.type != wanted:
            raise InvalidValueError(
                f"{label(node)}: attribute {attribute.name!r} is of type {_TYPE_NAME(attribute.type)}: "
                f"it must be {_TYPE_NAME(wanted)}"
            )
