"""Runs models without the library, each in a process of its own: python tests/portable/run.py FOLDER.

Needs nothing but NumPy and ONNX Runtime, whose old releases end the process on what they cannot run. FOLDER
has for each NAME.onnx a NAME.npz: inputs by name, expected outputs in order as `expected 0`, ..., and `rtol`,
the tolerance for them; a train-mode model that draws anew has `lower` and `upper` of output / x instead.
"""

from __future__ import annotations

import multiprocessing
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


def _passes(model: Path) -> bool:
    """Whether it runs, in a process that has the imports of this one."""
    child = multiprocessing.get_context("fork").Process(target=_run, args=(model,))
    child.start()
    child.join(300)
    if child.exitcode is None:
        child.kill()
        child.join()
    if child.exitcode:
        print(f"{model.stem}: exit status {child.exitcode}")
    return child.exitcode == 0


def _main(folder: Path) -> int:
    models = sorted(folder.glob("*.onnx"))
    passed = sum(_passes(model) for model in models)
    print(f"onnxruntime {onnxruntime.__version__}: {passed} of {len(models)} models")
    return 0 if models and passed == len(models) else 1


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
