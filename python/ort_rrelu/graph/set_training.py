"""set_training and seed: RRelu nodes switched between train and eval mode, and given seeds."""

from __future__ import annotations

import fnmatch
import os

import onnx

from ort_rrelu.arguments import check_switch
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.graph.calls import calls
from ort_rrelu.graph.check import check_model, may_train
from ort_rrelu.graph.embedding import embed_functions, is_portable
from ort_rrelu.graph.file import new_model
from ort_rrelu.graph.nodes import function_nodes, is_rrelu, key_of, label, name_of, our_nodes, set_attribute
from ort_rrelu.graph.step_input import step_inputs, wire_step
from ort_rrelu.graph.unread_steps import remove_spare_steps
from ort_rrelu.node_attributes import NodeSeeds


def set_training(
    model: onnx.ModelProto | str | os.PathLike[str], training: bool, *, names: str | None = None
) -> onnx.ModelProto:
    """Set the mode of RRelu nodes, and of nothing else: no BatchNorm, no Dropout.

    Seeds stay as they are. Nodes that were exported in eval mode have no seed: graph.seed gives them one. In
    a portable model that has a step input, nodes that begin to train read it, as add_step_input wires it. In
    other models a node without a step stays without one.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.
        training: True for train mode, False for eval mode.
        names: a pattern such as "encoder/*" (fnmatch, case counts) for the names of the nodes to be set; a
            node without a name has that of its first output. None is all nodes. A node in a function is set
            for all calls.

    Returns:
        A new model. One without RRelu is returned as it is, copied. A portable one stays portable.

    Raises:
        ModelFileError, InvalidValueError: not a model, an invalid node, no node of these names, or in a
            portable model a node that begins to train where no step can reach it.
        InvalidTypeError: training is not a bool, names not a string, or model neither a model nor a path.
    """
    check_switch("training", training)
    if names is not None and not isinstance(names, str):
        raise InvalidTypeError(f"names={names!r}: it must be None or a string")
    switched = new_model(model)
    check_model(switched)
    nodes = _matching(our_nodes(switched), names)
    begin_to_train = [node for node in nodes if training and not may_train(node)]
    for node in nodes:
        set_attribute(node, "training", int(training))
    if begin_to_train and is_portable(switched):
        _give_steps(switched, begin_to_train)
    return switched


def _matching(nodes: list[onnx.NodeProto], names: str | None) -> list[onnx.NodeProto]:
    if names is None:
        return nodes
    known = {name_of(node): node for node in nodes}
    matching = [node for node in nodes if fnmatch.fnmatchcase(name_of(node), names)]
    if not matching:
        have = ", ".join(map(repr, known)) or "none"
        raise InvalidValueError(f"names={names!r}: no RRelu node has such a name; there are: {have}")
    return matching


def _give_steps(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    """In a portable model eval nodes may have a step that was only there to fit the function."""
    if not remove_spare_steps(model, nodes):
        return
    for name in step_inputs(model)[:1]:
        wire_step(model, name)
    embed_functions(model)


def seed(model: onnx.ModelProto | str | os.PathLike[str], seed: int) -> onnx.ModelProto:
    """Seed the train-mode RRelu nodes: node i of them, in the order of the graph, gets derive_seed(seed, i).

    The exporters do the same with their `seed`. Nodes in functions come last. Eval nodes keep their seeds, so
    call set_training before.

    Args:
        model: a model, which is not changed, or a file; weights in other files stay there.
        seed: 0 .. 2^63 - 1.

    Returns:
        A new model; one without train nodes is returned as it is, copied. A portable one stays portable.

    Raises:
        ModelFileError, InvalidValueError: not a model, an invalid node, a seed out of range, or a train node
            in a function that is called more than once, whose calls would draw the same slopes.
        InvalidTypeError: seed is not an integer, or model neither a model nor a path.
    """
    if seed is None:
        raise InvalidTypeError("seed=None: it must be an integer")
    seeds = NodeSeeds(seed)
    seeded = new_model(model)
    check_model(seeded)
    _refuse_shared_functions(seeded)
    for node in filter(may_train, our_nodes(seeded)):
        set_attribute(node, "seed", seeds.take(None))
    return seeded


def _refuse_shared_functions(model: onnx.ModelProto) -> None:
    times = calls(model)
    for function in model.functions:
        if times[key_of(function)] < 2:
            continue
        for node in function_nodes(function):
            if is_rrelu(node) and may_train(node):
                raise InvalidValueError(
                    f"{label(node)} is in function {function.name}, which is called several times, and all "
                    "calls would draw the same slopes: inline it first"
                )
