"""Writes models for run.py: python -m tests.portable.models KIND FOLDER; kinds are at the end."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import ort_rrelu
from tests.draws import normal, special_values
from tests.onnx_models import BFLOAT16, DTYPES, Array, beside_matmul, rrelu_model, step_of

_BOUNDS: dict[str, Any] = {"lower": 0.125, "upper": 0.25}
_STEP = np.array(2**40 + 3)
_X = np.random.default_rng(7).normal(size=(2, 3, 8, 8)).astype(np.float32)


def _write(
    path: Path, model: onnx.ModelProto, *inputs: Array, rtol: float = 0.0, by: onnx.ModelProto | None = None
) -> None:
    """A model with what the kernels compute, for another model where it has no nodes for them."""
    onnx.save(model, path)
    session = ort_rrelu.InferenceSession((by or model).SerializeToString(), lower_eval=False)
    feeds: dict[str, Any] = dict(zip([value.name for value in session.get_inputs()], inputs, strict=True))
    outputs = {f"expected {i}": output for i, output in enumerate(session.run(None, feeds))}
    np.savez(path.with_suffix(".npz"), rtol=rtol, **feeds, **outputs)


def _write_fresh(path: Path, model: onnx.ModelProto, x: Array) -> None:
    """A model of one train node that draws anew."""
    onnx.save(model, path)
    name = model.graph.input[0].name
    values: dict[str, Any] = {name: x, **_BOUNDS}
    np.savez(path.with_suffix(".npz"), **values)


def _one_node_models() -> Iterator[tuple[str, onnx.ModelProto, Array, int, bool]]:
    """What it is, the model, its X, training, and whether it has a step: every dtype, mode and interface."""
    for dtype, training, noise, step in itertools.product(DTYPES, [0, 1], [False, True], [False, True]):
        outputs = ["y", "noise"] if noise else ["y"]
        model = rrelu_model(
            dtype, outputs=outputs, with_step=step, step_shape=[], training=training, seed=42, **_BOUNDS
        )
        x = special_values(dtype).astype(np.float32 if dtype == BFLOAT16 else DTYPES[dtype])
        yield f"{DTYPES[dtype]} training={training} {' '.join(outputs)}", model, x, training, step


def _write_beside_matmul(folder: Path, make: Callable[[onnx.ModelProto], onnx.ModelProto]) -> None:
    for training in (0, 1):
        model, inputs = beside_matmul("MatMul", training=training)
        _write(folder / f"MatMul training={training}.onnx", make(model), *inputs, by=model)


def _write_nodes(folder: Path) -> None:
    for name, model, x, training, step in _one_node_models():
        path, made = folder / f"{name}{' step' * step}.onnx", ort_rrelu.graph.portable(model)
        if step or not training:
            _write(path, made, x, *([_STEP] if step else []))
        else:
            _write_fresh(path, made, _X.astype(x.dtype))
    for opset in (13, 17):
        model = onnx.parser.parse_model(f"""<ir_version: 7, opset_import: ["": {opset}, "ort_rrelu": 1]>
            net (float[2,3,8,8] x, int64 step) => (float[2,3,8,1] y) {{
                a = ort_rrelu.RRelu <training = 1, seed = 3> (x, step)
                y = ReduceMax <axes = [3], keepdims = 1> (a) }}""")
        _write(folder / f"opset {opset}.onnx", ort_rrelu.graph.portable(model), _X, _STEP)
    _write_beside_matmul(folder, ort_rrelu.graph.portable)


# Shape, seed, step, bounds: ends of ranges, counters with a high half, lengths around the generator's blocks.
_DRAWS: list[tuple[tuple[int, ...], int, int, float, float]] = [
    ((), 0, 0, 0.125, 0.25),
    ((0, 3), 1, 1, 0.125, 0.25),
    ((17,), 2015, 2**32 - 1, 1 / 8, 1 / 3),
    ((2, 3, 5), 2**32, 2**32, -0.5, 1.5),
    ((3, 1, 257), 2**63 - 1, 2**63 - 1, 0.1, 0.1),
    ((2, 8, 33, 33), 42, 2**40 + 3, 0.1, 0.3),
]

# Shape and steps: no row, rows of one element, of whole and of broken blocks; repeated and wide numbers.
_ROWS: list[tuple[tuple[int, ...], list[int]]] = [
    ((0, 3), []),
    ((3,), [5, -1, 2**40 + 3]),
    ((5, 7), [0, 0, 1, 2**63 - 1, -(2**63)]),
    ((4, 2, 8), [7, 2**32, 7, 2**32 - 1]),
    ((2, 3, 257), [2**48 + 1, 2**48]),
]


def _write_draws(folder: Path) -> None:
    for dtype, (shape, seed, step, lower, upper) in itertools.product(DTYPES, _DRAWS):
        node: dict[str, Any] = {"seed": seed, "lower": lower, "upper": upper, "training": 1}
        model = rrelu_model(dtype, with_step=True, step_shape=[1], shape=shape, **node)
        x = normal(shape, dtype).astype(np.float32 if dtype == BFLOAT16 else DTYPES[dtype])
        path = folder / f"{DTYPES[dtype]} {list(shape)} seed {seed} step {step}.onnx"
        _write(path, ort_rrelu.graph.portable(model), x, step_of(step))
    for dtype, (shape, steps) in itertools.product(DTYPES, _ROWS):
        model = rrelu_model(dtype, with_step=True, step_shape=[len(steps)], shape=shape, training=1, seed=42)
        x = normal(shape, dtype).astype(np.float32 if dtype == BFLOAT16 else DTYPES[dtype])
        path = folder / f"{DTYPES[dtype]} {list(shape)} with steps.onnx"
        _write(path, ort_rrelu.graph.portable(model), x, np.array(steps, np.int64))


def _write_lowered(folder: Path) -> None:
    """Those with a step exactly, the others not."""
    for name, model, x, training, exact in _one_node_models():
        path, made = folder / f"{name}{' exact' * exact}.onnx", ort_rrelu.graph.lower(model, exact=exact)
        if exact or not training:
            _write(path, made, x, *([_STEP] if exact else []), by=model)
        else:
            _write_fresh(path, made, _X.astype(x.dtype))
    for opset in (11, 13, 17):
        model = onnx.parser.parse_model(f"""<ir_version: 6, opset_import: ["": {opset}, "ort_rrelu": 1]>
            net (float[2,3,8,8] x, int64 step, bool c) => (float[2,3,8,8] y) {{
                a = ort_rrelu.RRelu <training = 1, seed = 3> (x, step)
                y = If (c) <then_branch = t () => (float[2,3,8,8] u) {{ u, n = ort_rrelu.RRelu (a) }},
                            else_branch = e () => (float[2,3,8,8] v) {{ v = ort_rrelu.RRelu (a) }}> }}""")
        for condition in (True, False):
            path = folder / f"opset {opset} {condition}.onnx"
            _write(path, ort_rrelu.graph.lower(model, exact=True), _X, _STEP, np.array(condition), by=model)
    _write_beside_matmul(folder, functools.partial(ort_rrelu.graph.lower, exact=True))


def _write_torch(folder: Path) -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    x = torch.from_numpy(_X)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.RReLU(), nn.Conv2d(4, 4, 3), nn.RReLU(0.1, 0.3), nn.Flatten(), nn.Linear(64, 2)
    )
    options: dict[str, dict[str, Any]] = {"default": {"verbose": False}, "TorchScript": {"dynamo": False}}
    for name, kw in options.items():
        export: Any = functools.partial(ort_rrelu.torch.export, args=(x,), **kw)
        chain, single = nn.Sequential(nn.RReLU(), nn.RReLU(0.1, 0.3)), nn.RReLU(**_BOUNDS)
        _write(folder / f"torch {name} eval.onnx", export(network.eval()), _X, rtol=1e-5)
        _write_fresh(folder / f"torch {name} train.onnx", export(single.train()), _X)
        for module, rtol in ((chain, 0.0), (network, 1e-5)):
            model = export(module.train(), seed=1, step_input=True)
            path = folder / f"torch {name} train {len(module)}, step.onnx"
            _write(path, model, _X, _STEP, rtol=rtol)


def _write_paddle(folder: Path) -> None:
    import paddle
    from paddle import nn

    paddle.seed(0)
    spec = [paddle.static.InputSpec([None, 3, 8, 8], "float32", "x")]
    network = nn.Sequential(
        nn.Conv2D(3, 4, 3), nn.RReLU(), nn.Conv2D(4, 4, 3), nn.RReLU(0.1, 0.3), nn.Flatten(), nn.Linear(64, 2)
    )
    single = nn.RReLU(**_BOUNDS)
    export = ort_rrelu.paddle.export
    _write(folder / "paddle eval.onnx", export(network, None, spec, training=False), _X, rtol=1e-5)
    _write_fresh(folder / "paddle train.onnx", export(single, None, spec), _X)
    model = export(network, None, spec, seed=1, step_input=True)
    _write(folder / "paddle train, step.onnx", model, _X, _STEP, rtol=1e-5)


if __name__ == "__main__":
    _, kind, target = sys.argv
    Path(target).mkdir(parents=True, exist_ok=True)
    kinds = {
        "nodes": _write_nodes,
        "draws": _write_draws,
        "lowered": _write_lowered,
        "torch": _write_torch,
        "paddle": _write_paddle,
    }
    kinds[kind](Path(target))
