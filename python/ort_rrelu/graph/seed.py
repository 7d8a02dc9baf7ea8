"""seed: every train-mode RRelu node gets a seed of its own, derived from one."""

from __future__ import annotations

import os

import onnx

from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.graph.calls import calls, key_of
from ort_rrelu.graph.check import check_model, may_train
from ort_rrelu.graph.file import new_model
from ort_rrelu.graph.nodes import function_nodes, is_rrelu, label, our_nodes, set_attribute
from ort_rrelu.seeds import NodeSeeds

__all__ = ["seed"]


def seed(model: onnx.ModelProto | str | os.PathLike[str], seed: int) -> onnx.ModelProto:
    """Seed the train-mode RRelu nodes: node i of them, in the order of the graph, gets derive_seed(seed, i).

    As the exporters do with their `seed`. Nodes in functions come last. Eval nodes keep what they have, so
    seed a model after set_training.

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
