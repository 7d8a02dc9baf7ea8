"""Makers of random graphs: products, layers of networks, and bodies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.rows.growth import GROWN, Grown, Growth


def _matmul(g: Growth) -> None:
    x = g.value(least=1)
    if g.number(0, 1):
        pair = g.shuffled([x, g.constant([*x.shape[:-2], x.shape[-1], 2][-g.number(2, 3) :])])
    else:
        pair = [x, g.one_of([v for v in g.values if v.rank and x.shape[-1] in v.shape[-2:]])]
    if g.number(0, 1) and pair[1].rank > 1:
        perm = list(range(pair[1].rank))
        (moved,) = g.add("Transpose", [pair[1]], pair[1].limit, perm=[*perm[:-2], perm[-1], perm[-2]])
        pair[1] = moved
    g.add("MatMul", pair, pair[0].limit * pair[1].limit * x.shape[-1])


def _gemm(g: Growth) -> None:
    x = g.value(ranks=(2,))
    turned = int(g.number(0, 3) == 0)
    other = g.one_of([g.constant([x.shape[1 - turned], 2]), g.value(ranks=(2,))])
    added = g.one_of([g.constant([2]), g.constant([1]), g.value(ranks=(1, 2)), None])
    inputs = [x, other, added]
    limit = x.limit * other.limit * max(x.shape) + (added.limit if added else 0)
    g.add("Gemm", inputs, limit, transA=turned, transB=g.number(0, 1))


def _einsum(g: Growth) -> None:
    x = g.value(ranks=(2, 3))
    z = g.one_of([g.value(ranks=(2, 3)), g.constant([g.one_of([2, *x.shape]) for _ in range(2)]), x])
    sizes: dict[str, int] = {}
    terms = []
    for value in (x, z):
        letters = ""
        for dim in value.shape:
            fitting = [
                k for k, size in sizes.items() if size == dim and (k not in letters or g.number(0, 5) == 0)
            ]
            new = "abcdefg"[len(sizes)]
            letter = g.one_of([*fitting, *fitting, new])
            sizes[letter] = dim
            letters += letter
        terms.append(letters)
    result = "".join(g.some(g.shuffled(list(sizes)))[:4])
    arrow = f"->{result}" if g.number(0, 5) else ""
    limit = x.limit * z.limit * math.prod(sizes.values())
    g.add("Einsum", [x, z], limit, equation=",".join(terms) + arrow)


def _convolve(g: Growth) -> None:
    x, op = g.value(ranks=(3, 4)), g.one_of(["Conv", "ConvTranspose"])
    kernel = [g.one_of([1, 2]) for _ in range(x.rank - 2)]
    channels = [2, x.shape[1]] if op == "Conv" else [x.shape[1], 2]
    weights = g.constant([*channels, *kernel])
    g.add(op, [x, weights], x.limit * 2 * math.prod(weights.shape))


def _pool(g: Growth) -> None:
    x, op = g.value(ranks=(3, 4)), g.one_of(["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"])
    attributes: dict[str, Any] = {} if op.startswith("Global") else {"kernel_shape": [2] * (x.rank - 2)}
    if op == "MaxPool" and g.number(0, 2) == 0:
        _, places = g.add(op, [x], x.limit, outputs=2, **attributes)
        g.add("Cast", [places], math.inf, to=TensorProto.FLOAT)
    else:
        g.add(op, [x], x.limit if "Max" in op else math.inf, **attributes)


def _blocks(g: Growth) -> None:
    x, op = g.value(ranks=(4,)), g.one_of(["SpaceToDepth", "DepthToSpace"])
    g.add(op, [x], x.limit, blocksize=2)


def _resize(g: Growth) -> None:
    x = g.value(ranks=(2, 3, 4))
    scales = np.ones(x.rank, np.float32)
    scales[g.axis(x)] = 2
    factors = g.known(f"c{len(g.constants)}", scales)
    mode = g.one_of(["nearest", "nearest", "linear"])
    g.add("Resize", [x, None, factors], math.inf, mode=mode)


def _recurrent(g: Growth) -> None:
    x = g.value(ranks=(3,))
    if g.number(0, 2):
        (x,) = g.add("Transpose", [x], x.limit, perm=[1, 0, 2])
    op, gates = g.one_of([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    states: list[Grown | None] = []
    if g.number(0, 1):
        dims = g.target([1, x.shape[1], 2])
        states = [None, None, g.add("ConstantOfShape", [dims], 0)[0]]
    inputs = [x, g.constant([1, gates * 2, x.shape[2]]), g.constant([1, gates * 2, 2]), *states]
    every, _ = g.add(op, inputs, math.inf, outputs=2, hidden_size=2)
    g.add_with_axes("Squeeze", every, [1], math.inf)


def _reverse(g: Growth) -> None:
    x = g.value(least=2)
    batch_axis = g.number(0, 1)
    lengths = g.ints([1] * x.shape[batch_axis])
    if g.number(0, 1):
        lengths = g.computed("Expand", [g.ints([2]), g.rows()], [2] * GROWN)
    g.add("ReverseSequence", [x, lengths], x.limit, batch_axis=batch_axis, time_axis=1 - batch_axis)


def _branch(g: Growth) -> None:
    """One of two nodes, by what a constant or the batch says."""
    x = g.value(least=1, exact=True)
    largest = g.one_of([x, g.constant([2])])
    (reduced,) = g.add("ReduceMax", [largest], largest.limit, keepdims=0)
    (condition,) = g.add("Cast", [reduced], math.inf, to=TensorProto.BOOL)
    bodies = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op, [x.name], [f"{name}{len(g.nodes)}"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}{len(g.nodes)}", TensorProto.FLOAT, None)],
        )
        for name, op in (("then", g.one_of(["Relu", "Neg"])), ("else", g.one_of(["Abs", "Softmax"])))
    }
    _opaque(g, "If", [condition], x, math.inf, **bodies)


def _loop(g: Growth) -> None:
    """Its second state, whose last value nobody reads, is of the whole batch, of no row, or a draw."""
    x = g.value(least=1)
    node = g.one_of(
        [
            helper.make_node("Softmax", ["v"], ["w"], axis=g.axis(x)),
            helper.make_node("Tanh", ["v"], ["w"]),
            helper.make_node("Add", ["v", x.name], ["w"]),
        ]
    )
    second = g.one_of(
        [
            helper.make_node("ReduceMax", ["w"], ["t"], keepdims=0),
            helper.make_node("RandomUniformLike", ["s"], ["t"]),
            helper.make_node("Neg", ["s"], ["t"]),
        ]
    )

    def info(name: str, dtype: int = TensorProto.FLOAT, shape: list[int] | None = None) -> Any:
        return helper.make_tensor_value_info(name, dtype, shape)

    last = helper.make_node("Add", ["w", "s"], ["z"])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), node, second, last],
        "body",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("v"), info("s", shape=[])],
        [info("on", TensorProto.BOOL, []), info("z"), info("t", shape=[])],
    )
    times = g.ints(2)
    if g.number(0, 3) == 0:
        times = g.computed("Squeeze", [g.rows()], GROWN)
    _opaque(g, "Loop", [times, None, x, g.constant([])], x, math.inf, outputs=2, body=body)


def _scan(g: Growth) -> None:
    """A running sum along an axis."""
    x = g.value(least=2)
    axis = g.axis(x) % x.rank
    rest = [dim for at, dim in enumerate(x.shape) if at != axis]
    (first,) = g.add("Gather", [x, g.ints(0)], x.limit, axis=axis)

    def info(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(rest))

    nodes = [helper.make_node("Add", ["v", "p"], ["w"]), helper.make_node("Tanh", ["w"], ["o"])]
    body = helper.make_graph(nodes, "body", [info("v"), info("p")], [info("w"), info("o")])
    attributes = {
        "num_scan_inputs": 1,
        "scan_input_axes": [axis],
        "scan_output_axes": [g.number(0, x.rank - 1)],
    }
    _opaque(g, "Scan", [first, x], first, math.inf, outputs=2, body=body, **attributes)


def _opaque(
    g: Growth,
    op: str,
    inputs: list[Grown | None],
    like: Grown,
    limit: float,
    outputs: int = 1,
    **attributes: Any,
) -> None:
    """A node whose first output has the shape of a value."""
    made = [f"v{len(g.nodes)}_{i}" for i in range(outputs)]
    names = [value.name if value is not None else "" for value in inputs]
    g.nodes.append(helper.make_node(op, names, made, **attributes))
    g.values.append(Grown(made[0], like.shape, limit))


OFTEN = [_matmul]
MAKERS = [
    _matmul,
    _gemm,
    _einsum,
    _convolve,
    _pool,
    _blocks,
    _resize,
    _recurrent,
    _reverse,
    _branch,
    _loop,
    _scan,
]
