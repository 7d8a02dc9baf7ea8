"""Runs models without the library, each in a process of its own: python tests/portable/run.py FOLDER.

Needs nothing but NumPy and ONNX Runtime, whose old releases end the process on what they cannot run. FOLDER
has for each NAME.onnx a NAME.npz: inputs by name, expected outputs in order as `expected 0`, ..., and `rtol`,
the tolerance for them; a train-mode model that draws anew has `lower` and `upper` of output / x instead.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def _run(model: Path) -> None:
    facts: dict[str, Any] = dict(np.load(model.with_suffix(".npz")))
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    feeds = {value.name: facts[value.name] for value in session.get_inputs()}
    first, second = ([np.asarray(output) for output in session.run(None, feeds)] for _ in range(2))
    if "rtol" in facts:
        _compare(first, facts)
        _compare(second, facts)
        return
    (x,) = feeds.values()
    assert (first[0] != second[0]).any()
    slopes = first[0][x < 0] / x[x < 0]
    assert (facts["lower"] * 0.99 <= slopes).all()
    assert (slopes <= facts["upper"] * 1.01).all()


def _compare(outputs: list[Any], facts: dict[str, Any]) -> None:
    for i, output in enumerate(outputs):
        expected = facts[f"expected {i}"]
        assert output.dtype == expected.dtype
        np.testing.assert_allclose(output, expected, rtol=facts["rtol"], atol=facts["rtol"])


def _main(folder: Path) -> int:
    models = sorted(folder.glob("*.onnx"))
    failed = 0
    for model in models:
        child = subprocess.run(
            [sys.executable, __file__, str(model)], capture_output=True, text=True, timeout=300
        )
        if child.returncode:
            failed += 1
            print(f"{model.stem}: exit status {child.returncode}\n{child.stderr}")
    print(f"onnxruntime {onnxruntime.__version__}: {len(models) - failed} of {len(models)} models")
    return 1 if failed or not models else 0


if __name__ == "__main__":
    argument = Path(sys.argv[1])
    if argument.is_dir():
        sys.exit(_main(argument))
    _run(argument)
