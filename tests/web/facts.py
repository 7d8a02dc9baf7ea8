"""Rewrites what tests.portable.models computed for JavaScript: python -m tests.web.facts FOLDER.

NAME.npz of each NAME.onnx becomes NAME.json: `inputs` by name, `outputs` in order with their `rtol`, or
`lower` and `upper` (see tests/portable/run.py). A tensor is its ONNX Runtime type, dims and bytes in base64.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.onnx_models import Array

_TYPES = {"float16": "float16", "float32": "float32", "float64": "float64", "int64": "int64"}


def _tensor(array: Array) -> dict[str, Any]:
    data = base64.b64encode(array.tobytes()).decode()
    return {"type": _TYPES[array.dtype.name], "dims": array.shape, "data": data}


def _facts(model: Path) -> dict[str, Any]:
    saved = dict(np.load(model.with_suffix(".npz")))
    names = [value.name for value in onnx.load(model).graph.input]
    outputs = [_tensor(array) for name, array in saved.items() if name.startswith("expected ")]
    numbers = {name: saved[name].item() for name in ("rtol", "lower", "upper") if name in saved}
    return {"inputs": {name: _tensor(saved[name]) for name in names}, "outputs": outputs} | numbers


if __name__ == "__main__":
    for path in Path(sys.argv[1]).rglob("*.onnx"):
        path.with_suffix(".json").write_text(json.dumps(_facts(path)), "utf-8")
