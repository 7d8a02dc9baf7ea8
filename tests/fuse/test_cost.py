"""What the tools on models cost grows with the nodes, not with their square."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from ort_rrelu import graph, schema
from tests.onnx_models import make_model

_Tool = Callable[[onnx.ModelProto], object]


def _model(nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """x -> nodes -> the first output of the last."""
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, ["n"])]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("step", TensorProto.INT64, []),
    ]
    return make_model(nodes, inputs, outputs)


def _ours(count: int, *, inputs: tuple[str, ...] = (), **attributes: Any) -> onnx.ModelProto:
    """Nodes of ours and Relu nodes in turn, in one chain."""
    nodes = []
    for i in range(count // 2):
        before = f"r{i - 1}" if i else "x"
        nodes.append(
            helper.make_node(
                schema.RRELU, [before, *inputs], [f"h{i}"], f"n{i}", domain=schema.DOMAIN, **attributes
            )
        )
        nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
    return _model(nodes)


def _seeded(count: int) -> onnx.ModelProto:
    """Each becomes some three hundred nodes."""
    return _ours(max(count // 50, 4), inputs=("step",), training=1, seed=7)


def _stock(count: int) -> onnx.ModelProto:
    """Draws and PRelu nodes in turn."""
    nodes = []
    for i in range(count // 2):
        before = f"h{i - 1}" if i else "x"
        nodes.append(helper.make_node("RandomUniformLike", [before], [f"d{i}"], low=0.1, high=0.3, seed=3.0))
        nodes.append(helper.make_node("PRelu", [before, f"d{i}"], [f"h{i}"], f"n{i}"))
    return _model(nodes)


def _eval_in_bodies(count: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["step"], ["c"], to=TensorProto.BOOL),
    ]
    for i in range(count // 4):
        branches = {
            f"{word}_branch": helper.make_graph(
                [helper.make_node(schema.RRELU, ["x"], [f"{word}{i}"], domain=schema.DOMAIN)],
                word,
                [],
                [helper.make_tensor_value_info(f"{word}{i}", TensorProto.FLOAT, ["n"])],
            )
            for word in ("then", "else")
        }
        nodes.append(helper.make_node("If", ["c"], [f"y{i}"], **branches))
    return _model(nodes)


_CASES: dict[str, tuple[_Tool, Callable[[int], onnx.ModelProto]]] = {
    "lower, eval": (graph.lower, _ours),
    "lower, train": (graph.lower, lambda count: _ours(count, training=1)),
    "lower, bodies": (graph.lower, _eval_in_bodies),
    "lower, exact": (lambda model: graph.lower(model, exact=True), _seeded),
    "fuse": (lambda model: graph.fuse(model, portable=False), _stock),
    "portable": (graph.portable, lambda count: _ours(count, training=1)),
    "set_training": (
        lambda model: graph.set_training(model, True),
        lambda count: graph.portable(_ours(count)),
    ),
    "seed": (lambda model: graph.seed(model, 1), lambda count: _ours(count, training=1)),
    "add_step_input": (graph.add_step_input, lambda count: _ours(count, training=1)),
}


def _calls(tool: _Tool, model: onnx.ModelProto) -> int:
    """How many functions are called, those in C too."""
    count = 0

    def count_one(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count_one)
    try:
        tool(model)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize(("tool", "model"), _CASES.values(), ids=_CASES)
def test_calls_grow_with_the_nodes(tool: _Tool, model: Callable[[int], onnx.ModelProto]) -> None:
    tool(model(4))  # what is done once
    assert _calls(tool, model(1000)) <= 10.5 * _calls(tool, model(100))


def _cpu_seconds(tool: _Tool, models: list[onnx.ModelProto]) -> float:
    gc.collect()
    begin = time.process_time()
    for model in models:
        tool(model)
    return time.process_time() - begin


@pytest.mark.parametrize("case", ["lower, eval", "fuse"])
def test_time_grows_with_the_nodes(case: str) -> None:
    """10,000 nodes against three times 1,000, which a busy machine slows down alike; the best of three."""
    tool, model = _CASES[case]
    tool(model(4))
    many, one = [model(1000)] * 3, [model(10_000)]
    ratios = (3 * _cpu_seconds(tool, one) / _cpu_seconds(tool, many) for _ in range(3))
    assert any(ratio <= 15 for ratio in ratios)
