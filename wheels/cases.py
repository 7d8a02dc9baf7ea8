"""Models for session.c, with inputs and the outputs that the specification in NumPy gives.

python -m wheels.cases FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ort_rrelu import reference
from tests.onnx_models import BFLOAT16, DTYPES, FLOAT, Array, rrelu_model

_ELEMENTS, _SEED, _STEP = 100_003, 2024, 2**40 + 7
_BOUNDS: dict[str, Any] = {"lower": 0.1, "upper": 0.4}

# Name -> attributes, and what the message says.
_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "training_2": ({"training": 2}, "training=2: it must be 0 or 1"),
    "bounds": ({"lower": 0.5, "upper": 0.25}, "lower=0.5"),
    "text": ({"lower": "0.1"}, "attribute lower is of type STRING: it must be FLOAT"),
}


def _run(folder: Path, dtype: int, training: int) -> str:
    name = f"{DTYPES[dtype].name}_{'train' if training else 'eval'}"
    model = rrelu_model(
        dtype,
        shape=["n"],
        outputs=["y"],
        with_step=True,
        step_shape=[],
        training=training,
        seed=_SEED,
        **_BOUNDS,
    )
    onnx.save(model, str(folder / f"{name}.onnx"))
    x = np.random.default_rng(5).normal(size=_ELEMENTS).astype(DTYPES[dtype])
    y = _expected(x, training)
    outside = DTYPES[FLOAT if dtype == BFLOAT16 else dtype]  # that model has casts around its node
    for suffix, array in {".x": x, ".y": y}.items():
        (folder / f"{name}{suffix}").write_bytes(array.astype(outside).tobytes())
    kind = FLOAT if dtype == BFLOAT16 else dtype
    return f"run {name} {kind} {outside.itemsize} {_ELEMENTS} {_STEP}"


def _expected(x: Array, training: int) -> Array:
    y: Array = reference.rrelu(x, **_BOUNDS, training=bool(training), seed=_SEED, step=_STEP)
    return y


def _refuse(folder: Path, name: str) -> str:
    attributes, text = _REFUSED[name]
    model = rrelu_model(shape=["n"], outputs=["y"], with_step=True, step_shape=[], **attributes)
    onnx.save(model, str(folder / f"{name}.onnx"))
    return f"refuse {name} {text}"


def write(folder: Path) -> None:
    """Fill a new folder."""
    folder.mkdir(parents=True)
    lines = [_run(folder, dtype, training) for dtype in DTYPES for training in (0, 1)]
    lines += [_refuse(folder, name) for name in _REFUSED]
    (folder / "cases").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
