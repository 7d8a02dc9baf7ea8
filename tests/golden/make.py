"""Wrote the golden files, once, with version 0.1.0 on ONNX Runtime 1.32.0: python -m tests.golden.make.

They stay as they are: later versions have to give the same bits for them. What a later version adds gets
files of its own.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import ort_rrelu
from ort_rrelu import functions, library, reference, schema
from tests.draws import special_values
from tests.golden.cases import CHECKPOINT, SEED_OF_SESSIONS, STEP_MODEL, write_archive, write_arrays
from tests.onnx_models import BFLOAT16, DTYPES, FLOAT, Array, make_model, rrelu_model, session

if TYPE_CHECKING:
    from ort_rrelu.training import Trainer

_BOUNDS: dict[str, Any] = {"lower": 0.125, "upper": 0.25}
_STEP = 2**40 + 3


def input_of(dtype: int) -> Array:
    """Zeros, infinities, NaN and subnormals, then numbers of both signs: several blocks of the stream."""
    special = special_values(dtype).reshape(-1)
    usual = np.random.default_rng(1).normal(size=45).astype(DTYPES[dtype])
    x = np.concatenate([special, usual]).reshape(3, 21)
    return x.astype(np.float32) if dtype == BFLOAT16 else x


def facts_of(model: onnx.ModelProto, feeds: dict[str, Array], runs: int) -> dict[str, Array]:
    """What the kernels give for these inputs."""
    of = session(model, seed=SEED_OF_SESSIONS)
    facts = {f"feed {name}": value for name, value in feeds.items()}
    for run in range(runs):
        for index, output in enumerate(of.run(None, feeds)):
            facts[f"run {run} {index}"] = np.asarray(output)
    return facts


def named(dtype: int, *words: str) -> str:
    return " ".join([DTYPES[dtype].name, *words])


def _nodes(outputs: tuple[str, ...]) -> Iterator[tuple[str, onnx.ModelProto, dict[str, Array], int]]:
    """RRelu of every type in every mode, with its inputs and how many runs are kept."""
    modes: dict[str, dict[str, Any]] = {
        "train with step": {"training": 1, "seed": 42, "with_step": True, "step_shape": []},
        "train": {"training": 1, "seed": 2**40 + 9},
        "train unseeded": {"training": 1, "seed": -1},
        "eval": {},
        "eval with a negative slope": {"lower": -0.75, "upper": 0.125},
    }
    for dtype, (mode, attributes) in itertools.product(DTYPES, modes.items()):
        model = rrelu_model(dtype, outputs=outputs, **{**_BOUNDS, **attributes})
        feeds = {"x": input_of(dtype)} | ({"step": np.array(_STEP)} if "with_step" in attributes else {})
        yield named(dtype, mode, *outputs[1:]), model, feeds, 2 if mode in ("train", "train unseeded") else 1


def _gradients() -> Iterator[tuple[str, onnx.ModelProto, dict[str, Array], int]]:
    """x, dy, step -> y and dx, through noise and through the reserve."""
    for dtype, saved in itertools.product(DTYPES, ("noise", "reserve")):
        kind = FLOAT if dtype == BFLOAT16 else dtype
        x = input_of(dtype)
        inner = [
            helper.make_node("Cast", ["x"], ["a"], to=dtype),
            helper.make_node("Cast", ["dy"], ["b"], to=dtype),
            helper.make_node(
                schema.RRELU,
                ["a", "step"],
                ["c", "s", ""] if saved == "noise" else ["c", "", "s"],
                domain=schema.DOMAIN,
                training=1,
                seed=7,
                **_BOUNDS,
            ),
            helper.make_node(schema.RRELU_GRAD, ["b", "s"], ["d"], domain=schema.DOMAIN),
            helper.make_node("Cast", ["c"], ["y"], to=kind),
            helper.make_node("Cast", ["d"], ["dx"], to=kind),
        ]
        if saved == "noise":
            del inner[2].output[2:]
        shape = list(x.shape)
        values = [helper.make_tensor_value_info(name, kind, shape) for name in ("x", "dy", "y", "dx")]
        step = helper.make_tensor_value_info("step", TensorProto.INT64, [1])
        model = make_model(inner, [*values[:2], step], values[2:])
        dy = np.random.default_rng(2).normal(size=shape).astype(x.dtype)
        feeds = {"x": x, "dy": dy, "step": np.array([-3])}
        yield named(dtype, f"gradient by {saved}"), model, feeds, 1


def _write_models() -> None:
    kinds: dict[str, dict[str, bytes]] = {kind: {} for kind in ("bare", "portable", "lowered", "exact")}

    def add(kind: str, name: str, model: onnx.ModelProto, facts: dict[str, Array]) -> None:
        kinds[kind][f"{name}.onnx"] = model.SerializeToString()
        kinds[kind][f"{name}.npz"] = write_arrays(facts)

    for name, model, feeds, runs in _nodes(("y", "noise", "reserve")):
        add("bare", name, model, facts_of(model, feeds, runs))
    every = itertools.chain(_nodes(("y",)), _nodes(("y", "noise")), _gradients())
    for name, model, feeds, runs in every:
        facts = facts_of(model, feeds, runs)
        if "gradient" in name:
            add("bare", name, model, facts)
        add("portable", name, ort_rrelu.graph.portable(model), facts)
        add("lowered", name, ort_rrelu.graph.lower(model), facts)
        if "step" in feeds:
            add("exact", name, ort_rrelu.graph.lower(model, exact=True), facts)
    for opset in (22, 24):  # Dropout instead of RandomUniform
        for name, model, feeds, runs in itertools.islice(_nodes(("y", "noise")), 5):
            model.opset_import[0].version, model.ir_version = opset, 10
            add(
                "portable",
                f"opset {opset} {name}",
                ort_rrelu.graph.portable(model),
                facts_of(model, feeds, runs),
            )
    for kind, files in kinds.items():
        write_archive(f"{kind}.zip", files)


def _write_functions() -> None:
    """The bodies, in every shape that portable embeds."""
    files = {}
    usual = {"usual bounds": (0.125, 0.25), "default bounds": (schema.LOWER, schema.UPPER), "no bounds": None}
    switches = itertools.product((False, True), (False, True), (18, 21, 22, 24), usual.items())
    for step, noise, opset, (bounds, values) in switches:
        name = f"RRelu opset {opset} {bounds}{' step' * step}{' noise' * noise}"
        made = functions.rrelu(functions.Shape(step=step, noise=noise), opset, values)
        files[name] = made.SerializeToString()
    files |= {
        f"RReluGrad opset {opset}": functions.rrelu_grad(opset).SerializeToString() for opset in (18, 22)
    }
    write_archive("functions.zip", files)


# Ends of ranges, counters with a high half.
_SEEDS = [0, 42, 2**32 + 1, 2**63 - 1]
_STEPS = [0, 1, 2**32 - 1, 2**32, 2**40 + 3, -1, -(2**63), 2**63 - 1]
_INDICES = [0, 7, 8, 2**32 - 1, 2**32, 2**35 + 5, 2**61 + 3]
_BOUNDS_OF_DRAWS = [(0.125, 1 / 3), (-0.5, 1.5)]


def _slope(seed: int, step: int, lower: float, upper: float, index: int) -> np.float32:
    """By the kernel, which starts anywhere."""
    begin = index // 8 * 8
    x = np.zeros(8, np.float32)
    y, noise = np.empty_like(x), np.empty_like(x)
    params = library.Params(FLOAT, lower, upper, True, seed, step)
    addresses = [(array.ctypes.data - begin * x.itemsize) % 2**64 for array in (x, y, noise)]
    library.forward(params, addresses[0], addresses[1], addresses[2], begin, index + 1)
    slope: np.float32 = noise[index % 8]
    return slope


def _write_draws() -> None:
    rows = [
        (seed, step, *bounds, index)
        for seed, step, bounds, index in itertools.product(_SEEDS, _STEPS, _BOUNDS_OF_DRAWS, _INDICES)
    ]
    seeds, steps, lowers, uppers, indices = zip(*rows, strict=True)
    draws: dict[str, Array] = {
        "seed": np.array(seeds, np.uint64),
        "step": np.array(steps, np.int64),
        "lower": np.array(lowers, np.float32),
        "upper": np.array(uppers, np.float32),
        "index": np.array(indices, np.uint64),
        "slope": np.array([_slope(*row) for row in rows]),
    }
    derived = list(itertools.product(_SEEDS, [0, 1, 9, 2**32, 2**64 - 1]))
    seeds_of: dict[str, Array] = {
        "base": np.array([base for base, _ in derived], np.uint64),
        "index": np.array([index for _, index in derived], np.uint64),
        "seed": np.array([reference.derive_seed(base, index) for base, index in derived], np.uint64),
    }
    files = {"slopes.npz": write_arrays(draws), "seeds.npz": write_arrays(seeds_of)}
    write_archive("draws.zip", files)


def _write_reserves() -> None:
    """x and dy of each type as bytes, y, noise, the reserve, and the gradient that it gives."""
    files = {}
    for dtype, training in itertools.product(DTYPES, (False, True)):
        x = input_of(dtype).astype(DTYPES[dtype])
        dy = np.random.default_rng(3).normal(size=x.shape).astype(x.dtype)
        kept: dict[str, Any] = {"training": training, "seed": 2**33 + 5, "step": _STEP, **_BOUNDS}
        y, noise, reserve = ort_rrelu.rrelu(x, return_noise=True, return_reserve=True, **kept)
        values = {"x": x, "dy": dy, "y": y, "noise": noise, "dx": ort_rrelu.rrelu_grad(dy, reserve)}
        draw = {key: np.array(value) for key, value in kept.items()}
        as_bytes = {name: np.ascontiguousarray(value).view(np.uint8) for name, value in values.items()}
        name = f"{DTYPES[dtype].name} {'train' if training else 'eval'}.npz"
        files[name] = write_arrays({**as_bytes, "reserve": reserve, **draw})
    write_archive("reserves.zip", files)


def training_files(
    step: onnx.ModelProto,
    batch: Callable[[int], tuple[Array, Array]],
    at_checkpoint: Callable[[Trainer], dict[str, Array]] = lambda _: {},
) -> dict[str, bytes]:
    """A step model, a checkpoint after some steps, and what came before and after it."""
    from tests.training.networks import new_trainer

    before, after = 6, 6
    trainer = new_trainer(step)
    batches = [batch(number) for number in range(before + after)]
    losses = [trainer.step(*each) for each in batches[:before]]
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(Path(folder, CHECKPOINT))
        saved = Path(folder, CHECKPOINT).read_bytes()
    state = {f"saved {name}": value for name, value in trainer.state_dict().items()}
    state |= at_checkpoint(trainer)
    predicted, inference = trainer.predict(batches[0][0]), trainer.export_inference()
    losses += [trainer.step(*each) for each in batches[before:]]
    state |= {f"after {name}": value for name, value in trainer.state_dict().items()}
    facts = {f"x {number}": x for number, (x, _) in enumerate(batches)}
    facts |= {f"y {number}": y for number, (_, y) in enumerate(batches)}
    facts |= {"losses": np.array(losses), "steps": np.array(before), "predicted": predicted, **state}
    return {
        STEP_MODEL: step.SerializeToString(),
        CHECKPOINT: saved,
        "inference.onnx": inference.SerializeToString(),
        "facts.npz": write_arrays(facts),
    }


def _write_training() -> None:
    from tests.training.networks import resumable_batch, resumable_step

    write_archive("training.zip", training_files(resumable_step(), resumable_batch))


if __name__ == "__main__":
    _write_models()
    _write_functions()
    _write_draws()
    _write_reserves()
    _write_training()
