"""Road A: digits trained by onnxruntime-training 1.19.2, evaluated, resumed and exported for inference."""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.training import artifacts

import ort_rrelu
from models.digits import network as digits
from models.digits.dataset import Digits
from models.digits.exports import exporters_advice_hidden
from models.digits_training.batches import batches
from models.digits_training.result import EPOCHS, LEARNING_RATE, MIN_ACCURACY, Result, accuracy, write
from ort_rrelu.training import generate_artifacts, load_artifacts, save_checkpoint


@contextmanager
def _messages_hidden() -> Iterator[None]:
    """Without the twenty lines that onnxruntime-training's C++ writes while it builds a gradient."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as hidden:
        kept = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def make_artifacts(folder: Path) -> None:
    """The files that onnxruntime-training works on, from the torch network in train mode."""
    network = digits.build().train()
    path = folder / "digits.train.onnx"
    with exporters_advice_hidden():
        ort_rrelu.torch.export(
            network,
            (torch.zeros(2, 1, 8, 8),),
            path,
            step_input=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    with _messages_hidden():
        generate_artifacts(
            path,
            requires_grad=[name for name, _ in network.named_parameters()],
            loss=artifacts.LossType.CrossEntropyLoss,
            optimizer=artifacts.OptimType.AdamW,
            artifact_directory=folder,
            additional_output_names=["logits"],
        )


class Trained:
    """Module, optimizer and state over the files in a folder, from one of its checkpoints."""

    def __init__(self, folder: Path, checkpoint: str = "checkpoint") -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._folder = folder
        opened = load_artifacts(folder, checkpoint=folder / checkpoint, session_options=options)
        self._module, self._optimizer, self.state = opened
        self._optimizer.set_learning_rate(LEARNING_RATE)

    def step(self, images: np.ndarray, labels: np.ndarray, step: int) -> float:
        """One update; the loss before it."""
        self._module.train()
        self._module.lazy_reset_grad()
        loss = float(self._module(images, np.array(step), labels)[0])
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss of step {step} is {loss}")
        self._optimizer.step()
        return loss

    def accuracy(self, data: Digits) -> float:
        """That of the eval model on the test images."""
        self._module.eval()
        _loss, logits = self._module(data.test_images, data.test_labels)
        return accuracy(logits, data.test_labels)

    def save(self, name: str) -> None:
        """A checkpoint with the optimizer's state."""
        save_checkpoint(self.state, self._folder / name)

    def export(self, name: str) -> Path:
        """The model to serve."""
        path = self._folder / name
        self._module.export_model_for_inferencing(path, ["logits"])
        return path

    def weights(self) -> dict[str, Any]:
        """A copy of every parameter, by name."""
        return {name: np.array(parameter.data) for name, parameter in self.state.parameters}


def _train_epoch(trained: Trained, data: Digits, epoch: int) -> float:
    every = list(batches(data, epoch))
    losses = [trained.step(x, y, epoch * len(every) + i) for i, (x, y) in enumerate(every)]
    return float(np.mean(losses))


def train(folder: Path, data: Digits, epochs: int = EPOCHS) -> Result:
    """Train; stop before the last epoch, go on from the checkpoint beside the run that was not stopped."""
    result = Result(f"onnxruntime-training {onnxruntime.__version__}", epochs)
    trained, start = Trained(folder), time.perf_counter()
    for epoch in range(epochs):
        if epoch == epochs - 1:
            trained.save("last_but_one")
        result.losses.append(_train_epoch(trained, data, epoch))
        result.accuracies.append(trained.accuracy(data))
    result.seconds = round(time.perf_counter() - start, 2)
    resumed = Trained(folder, "last_but_one")
    _train_epoch(resumed, data, epochs - 1)
    uninterrupted = trained.weights()
    result.resumed_bit_for_bit = all(
        np.array_equal(value, uninterrupted[name]) for name, value in resumed.weights().items()
    )
    plain = onnxruntime.InferenceSession(trained.export("digits.onnx"))  # without the library
    logits = plain.run(["logits"], {"images": data.test_images})[0]
    result.exported_accuracy = accuracy(logits, data.test_labels)
    return result


def main() -> int:
    """Exit status 0 when the network learnt, and resuming and exporting kept what it had learnt."""
    parser = argparse.ArgumentParser(prog="python -m models.digits_training.road_a", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("out/digits_training/road_a.json"))
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        make_artifacts(Path(folder))
        result = train(Path(folder), digits.load())
    write(result, output)
    print(f"{output}: test accuracy {result.accuracies[-1]:.1%} after {result.seconds:.1f} s of training")
    print(
        f"resumed bit for bit: {result.resumed_bit_for_bit}; exported model: {result.exported_accuracy:.1%}"
    )
    kept = result.resumed_bit_for_bit and result.exported_accuracy == result.accuracies[-1]
    return 0 if kept and result.exported_accuracy >= MIN_ACCURACY else 1


if __name__ == "__main__":
    raise SystemExit(main())
