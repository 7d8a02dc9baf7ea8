"""Road B: the network of models.digits trained by one ONNX graph in today's onnxruntime, beside torch."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from models.digits import network as digits
from models.digits.dataset import Digits
from models.digits_training.batches import batches
from models.digits_training.result import EPOCHS, LEARNING_RATE, Result, accuracy
from ort_rrelu.training import Trainer, export_step


def export(network: nn.Module, path: Path | None = None) -> onnx.ModelProto:
    """The step of the network with AdamW, as road A has it."""
    example = torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.int64)
    return export_step(
        network.train(), nn.functional.cross_entropy, example, path, optimizer="adamw", lr=LEARNING_RATE
    )


def new_trainer(step: onnx.ModelProto | Path) -> Trainer:
    """On one thread, as layers this small gain nothing from a second one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return Trainer(step, options)


def train(folder: Path, data: Digits, epochs: int = EPOCHS) -> Result:
    """Train; stop before the last epoch, go on from the checkpoint beside the run that was not stopped."""
    step, checkpoint = folder / "step.onnx", folder / "last_but_one.safetensors"
    export(digits.build(), step)
    result = Result(f"onnxruntime {onnxruntime.__version__}", epochs)
    trainer, start = new_trainer(step), time.perf_counter()
    for epoch in range(epochs):
        if epoch == epochs - 1:
            trainer.save(checkpoint)
        result.losses.append(float(np.mean([trainer.step(x, y) for x, y in batches(data, epoch)])))
        result.accuracies.append(accuracy(trainer.predict(data.test_images), data.test_labels))
    result.seconds = round(time.perf_counter() - start, 2)
    resumed = new_trainer(step)
    resumed.resume(checkpoint)
    for x, y in batches(data, epochs - 1):
        resumed.step(x, y)
    state, expected = resumed.state_dict(), trainer.state_dict()
    result.resumed_bit_for_bit = all(np.array_equal(state[name], expected[name]) for name in expected)
    trainer.export_inference(folder / "digits.onnx")
    plain = onnxruntime.InferenceSession(folder / "digits.onnx")  # without the library
    logits = plain.run(["output"], {"x": data.test_images})[0]
    result.exported_accuracy = accuracy(logits, data.test_labels)
    return result


def train_in_torch(data: Digits, epochs: int = EPOCHS) -> Result:
    """The same seeds, steps and batches in torch."""
    network = digits.build().train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    result = Result(f"torch {torch.__version__}", epochs)
    start = time.perf_counter()
    for epoch in range(epochs):
        losses = []
        for x, y in batches(data, epoch):
            loss = nn.functional.cross_entropy(network(torch.from_numpy(x)), torch.from_numpy(y))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        result.losses.append(float(np.mean(losses)))
        with torch.no_grad():
            logits = network.eval()(torch.from_numpy(data.test_images)).numpy()
        network.train()
        result.accuracies.append(accuracy(logits, data.test_labels))
    result.seconds = round(time.perf_counter() - start, 2)
    return result
