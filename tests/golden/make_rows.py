"""Wrote the golden files of what came after 0.1.0, steps of rows: python -m tests.golden.make_rows, once.

They stay as they are, as those of 0.1.0 do: what a later version adds gets files of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

import ort_rrelu
from ort_rrelu import functions, schema
from ort_rrelu.training import Trainer, export_step
from tests.golden.cases import write_archive, write_arrays
from tests.golden.make import facts_of, input_of, named, training_files
from tests.onnx_models import BFLOAT16, DTYPES, FLOAT, Array, make_model, rrelu_model

_BOUNDS: dict[str, Any] = {"lower": 0.125, "upper": 0.25}
_STEPS = np.array([2**40 + 3, -3, 2**40 + 3])  # the first row and the last draw alike


class _Made(NamedTuple):
    name: str
    model: onnx.ModelProto
    feeds: dict[str, Array]


def _draw(dtype: int, *outputs: str, opset: int = 18) -> _Made:
    """x and a step for each of its rows."""
    attributes: dict[str, Any] = {"training": 1, "seed": 42, **_BOUNDS}
    model = rrelu_model(
        dtype, shape=["n", "m"], outputs=outputs, with_step=True, step_shape=["n"], **attributes
    )
    words = [f"opset {opset}"] if opset > 18 else []
    if opset > 18:
        model.opset_import[0].version, model.ir_version = opset, 10
    name = " ".join([*words, named(dtype, "train with steps", *outputs[1:])])
    return _Made(name, model, {"x": input_of(dtype), "step": _STEPS})


def _gradient(dtype: int, saved: str) -> _Made:
    """x, dy and steps -> y and dx, through noise or a reserve."""
    kind = FLOAT if dtype == BFLOAT16 else dtype
    kept = ["c", "s"] if saved == "noise" else ["c", "", "s"]
    draw = {"training": 1, "seed": 7, **_BOUNDS}
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=dtype),
        helper.make_node("Cast", ["dy"], ["b"], to=dtype),
        helper.make_node(schema.RRELU, ["a", "step"], kept, domain=schema.DOMAIN, **draw),
        helper.make_node(schema.RRELU_GRAD, ["b", "s"], ["d"], domain=schema.DOMAIN),
        helper.make_node("Cast", ["c"], ["y"], to=kind),
        helper.make_node("Cast", ["d"], ["dx"], to=kind),
    ]
    x = input_of(dtype)
    values = [helper.make_tensor_value_info(name, kind, ["n", "m"]) for name in ("x", "dy", "y", "dx")]
    step = helper.make_tensor_value_info("step", TensorProto.INT64, ["n"])
    model = make_model(nodes, [*values[:2], step], values[2:])
    dy = np.random.default_rng(2).normal(size=x.shape).astype(x.dtype)
    return _Made(named(dtype, f"gradient by {saved}"), model, {"x": x, "dy": dy, "step": _STEPS})


def _wired() -> _Made:
    """Two nodes to which add_step_input gave an input of rows."""
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18, "ort_rrelu": 1]>
        net (float[n,21] x) => (float[n,21] y) {
            h = ort_rrelu.RRelu <training = 1, seed = 3> (x)
            m = Neg (h)
            y = ort_rrelu.RRelu <lower = 0.125, upper = 0.25, training = 1, seed = 4> (m) }""")
    wired = ort_rrelu.graph.add_step_input(model, rows=True)
    return _Made("wired by add_step_input", wired, {"x": input_of(FLOAT), "step": _STEPS})


def _exported() -> _Made:
    """By torch's exporter. No matrix product, whose bits are the processor's."""
    net = nn.Sequential(nn.RReLU(), nn.Flatten(), nn.ReLU6(), nn.RReLU(0.125, 0.25)).train()
    rows = {0: torch.export.Dim("n")}
    model = ort_rrelu.torch.export(
        net, (torch.zeros(2, 3, 7),), seed=11, step_input="rows", dynamic_shapes=(rows,), training=True
    )
    return _Made("exported", model, {"input": input_of(FLOAT).reshape(3, 3, 7), "step": _STEPS})


def _eval() -> _Made:
    model = rrelu_model(FLOAT, shape=["n", "m"], outputs=["y"], **_BOUNDS)
    return _Made(named(FLOAT, "eval"), model, {"x": input_of(FLOAT)})


def _kinds() -> Iterator[tuple[str, _Made]]:
    """Each archive's cases; the models as they were before the tool that the archive is named after."""
    for dtype in DTYPES:
        yield "bare_rows", _draw(dtype, "y", "noise", "reserve")
        for saved in ("noise", "reserve"):
            yield "bare_rows", _gradient(dtype, saved)
        yield "portable_rows", _draw(dtype, "y")
        yield "exact_rows", _draw(dtype, "y", "noise")
    for opset in (22, 24):
        yield "portable_rows", _draw(FLOAT, "y", "noise", opset=opset)
    for saved in ("noise", "reserve"):
        for kind in ("portable_rows", "exact_rows"):
            yield kind, _gradient(FLOAT, saved)
    for made in (_wired(), _exported()):
        yield "portable_rows", made
        yield "exact_rows", made
    for made in (_draw(FLOAT, "y"), _eval()):
        yield "lowered_rows", made


def _write_models() -> None:
    tools: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
        "bare_rows": lambda model: model,
        "portable_rows": ort_rrelu.graph.portable,
        "lowered_rows": ort_rrelu.graph.lower,
        "exact_rows": lambda model: ort_rrelu.graph.lower(model, exact=True),
    }
    archives: dict[str, dict[str, bytes]] = {kind: {} for kind in tools}
    for kind, (name, model, feeds) in _kinds():
        made = tools[kind](model)
        inputs = {value.name for value in made.graph.input}  # `lower` may have made steps useless
        unread = {f"feed {name}" for name in feeds.keys() - inputs}
        facts = {k: v for k, v in facts_of(model, feeds, runs=1).items() if k not in unread}
        archives[kind][f"{name}.onnx"] = made.SerializeToString()
        archives[kind][f"{name}.npz"] = write_arrays(facts)
    for kind, files in archives.items():
        write_archive(f"{kind}.zip", files)


def _write_functions() -> None:
    """The bodies: those of 0.1.0 knew no steps of rows."""
    files = {}
    for step, noise, opset in itertools.product((False, True), (False, True), (18, 22)):
        name = f"RRelu opset {opset}{' step' * step}{' noise' * noise}"
        made = functions.rrelu(functions.Shape(step=step, noise=noise), opset, None)
        files[name] = made.SerializeToString()
    write_archive("functions_rows.zip", files)


def _write_reserves() -> None:
    """Of version 2, with the names of make.py."""
    files = {}
    for dtype in DTYPES:
        x = input_of(dtype).astype(DTYPES[dtype])
        dy = np.random.default_rng(3).normal(size=x.shape).astype(x.dtype)
        kept: dict[str, Any] = {"training": True, "seed": 2**33 + 5, "step": _STEPS, **_BOUNDS}
        y, noise, reserve = ort_rrelu.rrelu(x, return_noise=True, return_reserve=True, **kept)
        values = {"x": x, "dy": dy, "y": y, "noise": noise, "dx": ort_rrelu.rrelu_grad(dy, reserve)}
        as_bytes = {name: np.ascontiguousarray(value).view(np.uint8) for name, value in values.items()}
        draw = {key: np.array(value) for key, value in kept.items()}
        files[f"{DTYPES[dtype].name} train.npz"] = write_arrays({**as_bytes, "reserve": reserve, **draw})
    write_archive("reserves_rows.zip", files)


def _step_of_samples() -> onnx.ModelProto:
    """Slopes, a dropout and moments, each sample with a step of its own."""
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.Linear(8, 16), nn.LayerNorm(16), nn.RReLU(), nn.Dropout(0.2)),
        *(nn.Linear(16, 16), nn.RReLU(), nn.Linear(16, 3)),
    )
    example = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)
    return export_step(
        module, functional.cross_entropy, example, optimizer="adamw", lr=0.01, seed=9, step_input="rows"
    )


def _batch(number: int) -> tuple[Array, Array]:
    """Of 16 or 9 samples."""
    x = np.random.default_rng(number).normal(size=(16 if number % 2 else 9, 8)).astype(np.float32)
    return x, x[:, :3].argmax(1)


def _write_training() -> None:
    """As make.py does it; with the number of the next sample, too."""

    def next_sample(trainer: Trainer) -> dict[str, Array]:
        return {"next sample": np.array(trainer.next_sample)}

    write_archive("training_rows.zip", training_files(_step_of_samples(), _batch, next_sample))


if __name__ == "__main__":
    _write_models()
    _write_functions()
    _write_reserves()
    _write_training()
