"""Damages of a model's structure, as hypothesis draws them: of lists, names, types, tensors, bodies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from hypothesis import strategies as st
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from ort_rrelu.graph.nodes import all_nodes, subgraphs

_HUGE = 2**62
_WORDS = ["", "x", "y", "h", "step", "noise", "act", "c", "w", "a" * 300, "\N{SNOWMAN}", "x_0", "step_in_y"]
_DOMAINS = ["", "ai.onnx", "ort_rrelu", "own", "com.microsoft", "nowhere"]
_OPS = [
    *("RRelu", "RReluGrad", "RReluu", "If", "Loop", "Scan", "Constant", "Identity", "Cast", "CastLike"),
    *("PRelu", "Where", "Mul", "Add", "Less", "Not", "RandomUniform", "RandomUniformLike", "LeakyRelu"),
    *("Dropout", "Reshape", "Shape", "ConstantOfShape", "SequenceConstruct", "Outer", "Inner", "Act"),
    *("Upsample", "LSTM"),
]
_VERSIONS = [-1, 0, 1, 6, 7, 9, 12, 13, 15, 17, 18, 20, 21, 22, 26, 9999, _HUGE]
_ELEMENTS = [*range(26), 999, -1]
_SIZES = [0, 1, 2, 3, 5, 1000, 2**31, _HUGE, -1, -5]
_ATTRIBUTES = [
    *("lower", "upper", "training", "seed", "to", "value", "value_int", "value_floats", "then_branch"),
    *("else_branch", "body", "num_scan_inputs", "shape", "low", "high", "dtype", "alpha", "axis", "nothing"),
]
_PLACES = ["", "weights.bin", "absent.bin", "../up", "/etc/hostname", "0", "-3", "a\0b", "36"]
_KINDS = list(range(15))


def _graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    return [model.graph, *(body for node in all_nodes(model) for body in subgraphs(node))]


def _containers(model: onnx.ModelProto) -> list[onnx.GraphProto | onnx.FunctionProto]:
    return [*_graphs(model), *model.functions]


def _picked(draw: st.DrawFn, items: Any) -> Any:
    """One of a protobuf's items, or None."""
    items = list(items)
    return items[draw(st.integers(0, len(items) - 1))] if items else None


def _place(draw: st.DrawFn, items: Any) -> int | None:
    return draw(st.integers(0, len(items) - 1)) if len(items) else None


def _names(model: onnx.ModelProto) -> list[str]:
    return sorted({name for node in all_nodes(model) for name in (*node.input, *node.output)})


def _word(draw: st.DrawFn, model: onnx.ModelProto) -> str:
    return str(draw(st.sampled_from([*_names(model), *_WORDS])))


# What damages a list of a protobuf, whatever it holds.


def _drop(draw: st.DrawFn, items: Any) -> None:
    if (place := _place(draw, items)) is not None:
        del items[place]


def _repeat(draw: st.DrawFn, items: Any) -> None:
    if (item := _picked(draw, items)) is not None:
        items.append(item)


def _clear(draw: st.DrawFn, items: Any) -> None:
    del items[:]


def _reverse(draw: st.DrawFn, items: Any) -> None:
    copies = [_copied(item) for item in items][::-1]
    del items[:]
    items.extend(copies)


def _copied(item: Any) -> Any:
    if not isinstance(item, Message):
        return item
    copy = type(item)()
    copy.CopyFrom(item)
    return copy


_LISTS = (_drop, _repeat, _clear, _reverse)


def _damage_list(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    """Nodes, inputs, outputs, attributes, initializers, functions, imports ...: of the whole model."""
    lists = [model.functions, model.opset_import]
    for container in _containers(model):
        fields = ("node", "input", "output", "value_info")
        lists += [getattr(container, field) for field in fields]
        more = ("initializer",) if isinstance(container, onnx.GraphProto) else ("opset_import", "attribute")
        lists += [getattr(container, field) for field in more]
    for node in all_nodes(model):
        lists += [node.input, node.output, node.attribute]
    filled = [each for each in lists if len(each)]
    if filled:
        draw(st.sampled_from(_LISTS))(draw, _picked(draw, filled))


def _rename_value(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    node = _picked(draw, all_nodes(model))
    if node is None:
        return
    names = node.input if draw(st.booleans()) else node.output
    place = draw(st.integers(0, len(names)))
    word = _word(draw, model)
    if place == len(names):
        names.append(word)
    else:
        names[place] = word


def _rename_node(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    if (node := _picked(draw, all_nodes(model))) is not None:
        node.name = _word(draw, model)


def _other_op(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    if (node := _picked(draw, all_nodes(model))) is None:
        return
    if draw(st.booleans()):
        node.op_type = draw(st.sampled_from(_OPS))
    if draw(st.booleans()):
        node.domain = draw(st.sampled_from(_DOMAINS))
    if draw(st.integers(0, 3)) == 0:
        node.overload = draw(st.sampled_from(_WORDS))


def _any_graph(draw: st.DrawFn, model: onnx.ModelProto) -> onnx.GraphProto:
    graph = onnx.GraphProto()
    graph.CopyFrom(_picked(draw, _graphs(model)))
    return graph


def _any_tensor(draw: st.DrawFn) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.arange(3, dtype=np.float32), draw(st.sampled_from(_WORDS)))
    _damage_tensor(draw, tensor)
    return tensor


def _attribute_values(draw: st.DrawFn, model: onnx.ModelProto) -> Any:
    makers: list[Callable[[], Any]] = [
        lambda: draw(st.sampled_from([0, 1, -1, 7, 2**31, _HUGE, -(2**63)])),
        lambda: draw(st.sampled_from([0.0, 0.25, -1.5, 1e30, float("nan"), float("inf")])),
        lambda: draw(st.sampled_from(_WORDS)),
        lambda: [1, 2],
        lambda: [0.5],
        lambda: ["a"],
        lambda: _any_tensor(draw),
        lambda: _any_graph(draw, model),
        lambda: [_any_graph(draw, model)],
        lambda: helper.make_tensor_type_proto(1, [2]),
        lambda: helper.make_sparse_tensor(
            helper.make_tensor("v", 1, [1], [1.0]), helper.make_tensor("i", 7, [1], [0]), [3]
        ),
    ]
    return draw(st.sampled_from(makers))()


def _damage_attribute(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    attribute = _picked(draw, (a for node in all_nodes(model) for a in node.attribute))
    if attribute is None:
        return
    ways: list[Callable[[], Any]] = [
        lambda: attribute.CopyFrom(
            helper.make_attribute(attribute.name or "a", _attribute_values(draw, model))
        ),
        lambda: setattr(attribute, "type", draw(st.sampled_from(_KINDS))),
        lambda: setattr(attribute, "name", draw(st.sampled_from([*_ATTRIBUTES, *_WORDS]))),
        lambda: setattr(attribute, "ref_attr_name", draw(st.sampled_from([*_ATTRIBUTES, "t", ""]))),
        lambda: [attribute.ClearField(f) for f in ("f", "i", "s", "t", "g", "floats", "ints", "type")],
    ]
    draw(st.sampled_from(ways))()


def _add_attribute(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    if (node := _picked(draw, all_nodes(model))) is not None:
        name = draw(st.sampled_from(_ATTRIBUTES))
        node.attribute.append(helper.make_attribute(name, _attribute_values(draw, model)))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in _graphs(model):
        yield from graph.initializer
    for node in all_nodes(model):
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t


def _damage_tensor(draw: st.DrawFn, tensor: onnx.TensorProto) -> None:
    ways: list[Callable[[], Any]] = [
        lambda: setattr(tensor, "data_type", draw(st.sampled_from(_ELEMENTS))),
        lambda: tensor.dims.append(draw(st.sampled_from(_SIZES))),
        lambda: tensor.ClearField("dims"),
        lambda: tensor.ClearField("raw_data"),
        lambda: setattr(tensor, "raw_data", tensor.raw_data[:-1]),
        lambda: setattr(tensor, "raw_data", b""),
        lambda: tensor.float_data.append(0.5),
        lambda: tensor.int64_data.append(3),
        lambda: tensor.string_data.append(b"\xff"),
        lambda: setattr(tensor, "name", draw(st.sampled_from(_WORDS))),
        lambda: _send_away(draw, tensor),
    ]
    draw(st.sampled_from(ways))()


def _send_away(draw: st.DrawFn, tensor: onnx.TensorProto) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    for key in draw(st.lists(st.sampled_from(["location", "offset", "length", "other"]), max_size=4)):
        tensor.external_data.add(key=key, value=draw(st.sampled_from(_PLACES)))


def _damage_any_tensor(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    if (tensor := _picked(draw, _tensors(model))) is not None:
        _damage_tensor(draw, tensor)


def _add_initializer(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    tensor = _any_tensor(draw)
    tensor.name = _word(draw, model)
    graph = _picked(draw, _graphs(model))
    if draw(st.booleans()):
        graph.initializer.append(tensor)
    else:
        graph.sparse_initializer.add().values.CopyFrom(tensor)


def _values(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    for graph in _graphs(model):
        yield from (*graph.input, *graph.output, *graph.value_info)


def _damage_type(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    if (value := _picked(draw, _values(model))) is None:
        return
    tensor = value.type.tensor_type
    ways: list[Callable[[], Any]] = [
        lambda: setattr(tensor, "elem_type", draw(st.sampled_from(_ELEMENTS))),
        lambda: tensor.shape.dim.add(dim_value=draw(st.sampled_from(_SIZES))),
        lambda: tensor.shape.dim.add(dim_param=draw(st.sampled_from(_WORDS))),
        lambda: tensor.ClearField("shape"),
        lambda: tensor.shape.ClearField("dim"),
        lambda: value.ClearField("type"),
        lambda: value.type.sequence_type.elem_type.tensor_type.CopyFrom(_copied(tensor)),
        lambda: value.type.optional_type.elem_type.tensor_type.CopyFrom(_copied(tensor)),
        lambda: value.type.map_type.CopyFrom(onnx.TypeProto.Map(key_type=7)),
        lambda: value.type.sparse_tensor_type.CopyFrom(onnx.TypeProto.SparseTensor(elem_type=1)),
        lambda: setattr(value, "name", _word(draw, model)),
        lambda: value.type.CopyFrom(_nested_type(draw(st.integers(1, 90)))),
    ]
    draw(st.sampled_from(ways))()


def _nested_type(depth: int) -> onnx.TypeProto:
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [3])
    for _ in range(depth):
        kind = helper.make_sequence_type_proto(kind)
    return kind


def _move_node(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    """To another graph, body or function, or a copy of it."""
    source, target = (_picked(draw, _containers(model)) for _ in range(2))
    if (place := _place(draw, source.node)) is not None:
        node = _copied(source.node[place])
        if draw(st.booleans()):
            del source.node[place]
        target.node.append(node)


def _call(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    """A call of a function, from anywhere: from itself too."""
    function = _picked(draw, model.functions)
    if function is None:
        function = model.functions.add(domain="own", name="Act", input=["a"], output=["b"])
        function.opset_import.add(domain="", version=18)
    words = [_word(draw, model) for _ in range(2)]
    _picked(draw, _containers(model)).node.add(
        op_type=function.name, domain=function.domain, input=words[:1], output=words[1:]
    )


def _damage_function(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    if (function := _picked(draw, model.functions)) is None:
        return
    ways: list[Callable[[], Any]] = [
        lambda: setattr(function, "name", draw(st.sampled_from([*_OPS, *_WORDS]))),
        lambda: setattr(function, "domain", draw(st.sampled_from(_DOMAINS))),
        lambda: setattr(function, "overload", draw(st.sampled_from(_WORDS))),
        lambda: function.input.append(_word(draw, model)),
        lambda: function.output.append(_word(draw, model)),
        lambda: function.attribute.append(draw(st.sampled_from(_ATTRIBUTES))),
        lambda: function.attribute_proto.append(
            helper.make_attribute(draw(st.sampled_from(_ATTRIBUTES)), _attribute_values(draw, model))
        ),
        lambda: model.functions.append(function),
    ]
    draw(st.sampled_from(ways))()


def _other_version(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    importer = _picked(draw, [model, *model.functions])
    entry = _picked(draw, importer.opset_import)
    if entry is None or draw(st.integers(0, 3)) == 0:
        entry = importer.opset_import.add()
        entry.domain = draw(st.sampled_from(_DOMAINS))
    entry.version = draw(st.sampled_from(_VERSIONS))


def _damage_head(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    ways: list[Callable[[], Any]] = [
        lambda: setattr(model, "ir_version", draw(st.sampled_from(_VERSIONS))),
        lambda: model.ClearField("ir_version"),
        lambda: model.ClearField("graph"),
        lambda: model.graph.ClearField("name"),
        lambda: model.training_info.add(),
        lambda: model.metadata_props.add(key="a", value="b"),
        lambda: model.graph.quantization_annotation.add(tensor_name="x"),
    ]
    draw(st.sampled_from(ways))()


def _nest(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    """A node into the innermost of many bodies."""
    container = _picked(draw, _containers(model))
    if (place := _place(draw, container.node)) is None:
        return
    depth = draw(st.sampled_from([1, 2, 5, 20, 28, 29, 30]))
    kind = draw(st.sampled_from(["If", "Loop", "Scan"]))
    node = _copied(container.node[place])
    for _ in range(depth):
        outputs = [helper.make_tensor_value_info(name, 1, None) for name in node.output[:1]]
        try:
            body = helper.make_graph([node], "b", [], outputs)
            fields = (
                {"then_branch": body, "else_branch": body} if depth < 6 and kind == "If" else {"body": body}
            )
            node = helper.make_node(kind, ["c"], list(node.output[:1]), **fields)
        except DecodeError:  # as deep as protobuf can read
            break
    with contextlib.suppress(DecodeError):
        container.node[place].CopyFrom(node)


DAMAGES: list[Callable[[st.DrawFn, onnx.ModelProto], None]] = [
    *[_damage_list] * 4,
    *[_rename_value] * 3,
    *[_damage_attribute] * 3,
    *[_other_op] * 2,
    *[_damage_type] * 2,
    *[_damage_any_tensor] * 2,
    *[_damage_function] * 2,
    _rename_node,
    _add_attribute,
    _add_initializer,
    _move_node,
    _call,
    _other_version,
    _damage_head,
    _nest,
]
