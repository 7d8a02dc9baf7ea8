"""A step model where torch is not: `make` writes it with torch's results, `run` trains, stops and resumes.

`run` is given to old ONNX Runtimes, by `nox -s training_long`, and needs neither torch nor this repository.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

_STEPS, _STOP = 20, 8


def make(folder: Path) -> None:
    """step.onnx, and expected.npz with the batches, torch's state before and after, and its losses."""
    from torch.nn import functional

    from ort_rrelu.training import export_step
    from tests.training.networks import OPTIMIZERS, batches, build

    module, data = build("everything"), batches(_STEPS)
    name, options, torchs = OPTIMIZERS["adamw"]
    export_step(module, functional.cross_entropy, data[0], folder / "step.onnx", optimizer=name, **options)
    optimizer, losses = torchs(module.parameters(), **options), []
    for x, y in data:
        loss = functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    arrays: dict[str, Any] = {f"x{i}": x.numpy() for i, (x, _) in enumerate(data)}
    arrays |= {f"y{i}": y.numpy() for i, (_, y) in enumerate(data)}
    arrays |= {f"state/{key}": value.numpy() for key, value in module.state_dict().items()}
    np.savez(folder / "expected.npz", **arrays, losses=losses)


def run(folder: Path) -> None:
    """Fails unless losses and weights are torch's, and resuming changes no bit."""
    import onnxruntime

    from ort_rrelu.training import Trainer

    expected = np.load(folder / "expected.npz")
    trainer, losses = Trainer(folder / "step.onnx"), []
    for i in range(_STEPS):
        if i == _STOP:
            trainer.save(folder / "checkpoint")
        losses.append(trainer.step(expected[f"x{i}"], expected[f"y{i}"]))
    np.testing.assert_allclose(losses, expected["losses"], rtol=2e-5)
    resumed = Trainer(folder / "step.onnx")
    resumed.resume(folder / "checkpoint")
    assert [resumed.step(expected[f"x{i}"], expected[f"y{i}"]) for i in range(_STOP, _STEPS)] == losses[
        _STOP:
    ]
    for name, value in trainer.state_dict().items():
        wanted = expected[f"state/{name}"]
        assert abs(value - wanted).max() <= 2e-6 * max(abs(wanted).max(), 0.1), name
        assert (resumed.state_dict()[name] == value).all(), name
    model = trainer.export_inference().SerializeToString()
    options = onnxruntime.SessionOptions()
    output = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]).run(
        None, {"x": expected["x0"]}
    )[0]
    np.testing.assert_allclose(output, trainer.predict(expected["x0"]), atol=1e-5)
    assert "torch" not in sys.modules
    print(f"onnxruntime {onnxruntime.__version__}: trained as torch, resumed bit for bit")


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](Path(sys.argv[2]))
