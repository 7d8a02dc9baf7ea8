"""The paper's question on the digits: which rectifier has the lowest test error? Trained by road B.

python -m models.digits_training.rectifiers [--output rectifiers.json]

Xu et al. 2015 compare rectifiers on CIFAR and find that leaky ones beat ReLU, and that on small data RReLU
overfits least: the highest training error and the lowest test error. Here: one network, ten seeds (each with
its own split of the digits, weights, order and slopes), half of the images to train on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from models.activations.registry import build_activation
from models.digits.dataset import Digits, load
from models.digits.network import load as load_usual_split
from models.digits_training.batches import batches
from models.digits_training.result import LEARNING_RATE, accuracy
from models.digits_training.road_b import export, new_trainer
from models.digits_training.step_time import contenders, interleaved
from ort_rrelu.files import replacing
from ort_rrelu.graph.nodes import our_nodes
from ort_rrelu.reference import derive_seed
from ort_rrelu.training import Trainer

_SEEDS, _EPOCHS, _TEST_SIZE = 10, 40, 899
_STUDENT_T_95 = 2.262  # two-sided, 9 degrees of freedom

Errors = dict[str, dict[str, list[float]]]  # rectifier -> "train" and "test" -> % wrong for each seed

# Name -> the activation, and the error on CIFAR-10 in the paper's Table 3, % (train, test).
RECTIFIERS: dict[str, tuple[dict[str, object], tuple[float, float] | None]] = {
    "ReLU": ({"type": "ReLU"}, (0.318, 12.45)),
    "LeakyReLU, x / 100": ({"type": "LeakyReLU", "negative_slope": 0.01}, (0.31, 12.66)),
    "LeakyReLU, x / 5.5": ({"type": "LeakyReLU", "negative_slope": 1 / 5.5}, (0.362, 11.20)),
    "PReLU": ({"type": "PReLU"}, (0.178, 11.79)),
    "RReLU, x * U(1/8, 1/3)": ({"type": "RReLU"}, None),
    "RReLU of the paper, x / U(3, 8)": ({"type": "PaperRReLU"}, (0.550, 11.19)),
}


def build(rectifier: Mapping[str, object], seed: int) -> nn.Sequential:
    """The network of models.digits with another rectifier."""
    torch.manual_seed(seed)

    def activation(place: int) -> nn.Module:
        seeded = {"seed": place} if str(rectifier["type"]).endswith("RReLU") else {}
        return build_activation({**rectifier, **seeded})

    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), activation(0), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), activation(1), nn.Flatten()),
        *(nn.Linear(512, 64), activation(2), nn.Linear(64, 10)),
    )


def _with_seed(step: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """The step with other slopes in every node."""
    model = onnx.ModelProto()
    model.CopyFrom(step)
    for position, node in enumerate(our_nodes(model)):
        next(a for a in node.attribute if a.name == "seed").i = derive_seed(seed, position)
    return model


def _split(seed: int) -> Digits:
    return load(lambda n: np.random.default_rng(seed).permutation(n), _TEST_SIZE)


def _train(trainer: Trainer, data: Digits, seed: int, epochs: int) -> tuple[float, float]:
    """% wrong on the images of the training, and on the others, both in eval mode."""
    for epoch in range(epochs):
        rate = LEARNING_RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for x, y in batches(data, epoch, seed + 1):
            trainer.step(x, y, lr=rate)
    on_train = accuracy(trainer.predict(data.train_images), data.train_labels)
    on_test = accuracy(trainer.predict(data.test_images), data.test_labels)
    return 100 * (1 - on_train), 100 * (1 - on_test)


def compare(
    names: Sequence[str],
    seeds: int,
    epochs: int,
    finished: Callable[[str, int], None] = lambda _name, _seed: None,
) -> Errors:
    """Train every rectifier with every seed; the seeds of one rectifier are those of the others."""
    errors: Errors = {}
    for name in names:
        step = export(build(RECTIFIERS[name][0], 0))
        errors[name] = {"train": [], "test": []}
        for seed in range(seeds):
            trainer = new_trainer(_with_seed(step, seed))
            weights = build(RECTIFIERS[name][0], seed).state_dict()
            trainer.load_state_dict({key: value.numpy() for key, value in weights.items()})
            train, test = _train(trainer, _split(seed), seed, epochs)
            errors[name]["train"].append(train)
            errors[name]["test"].append(test)
            finished(name, seed)
    return errors


def _interval(values: Sequence[float]) -> str:
    """Mean and half of the 95 % confidence interval."""
    half = _STUDENT_T_95 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.mean(values):.2f} ± {half:.2f}"


def _table(errors: Errors) -> Table:
    table = Table(
        title=f"Digits: % wrong, mean of {_SEEDS} seeds ± half of its 95 % confidence interval",
        caption="Difference: of the test errors of the same seeds. Last columns: the paper, on CIFAR-10.",
    )
    headings = ("train", "test", "test, minus ReLU's", "paper: train", "paper: test")
    table.add_column("rectifier")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, error in errors.items():
        differences = [a - b for a, b in zip(error["test"], errors["ReLU"]["test"], strict=True)]
        paper = RECTIFIERS[name][1]
        table.add_row(
            name,
            _interval(error["train"]),
            _interval(error["test"]),
            "" if name == "ReLU" else _interval(differences),
            *(("", "") if paper is None else (f"{paper[0]:.2f}", f"{paper[1]:.2f}")),
        )
    return table


def main() -> None:
    """Train, print the tables, write the numbers."""
    parser = argparse.ArgumentParser(prog="python -m models.digits_training.rectifiers")
    parser.add_argument("--output", type=Path, default=Path("out/digits_training/rectifiers.json"))
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    console = Console(width=120)
    with console.status("training") as status:
        errors = compare(
            list(RECTIFIERS), _SEEDS, _EPOCHS, lambda name, seed: status.update(f"{name}: seed {seed}")
        )
    console.print(_table(errors))
    seconds = interleaved(contenders(load_usual_split()))
    times = ", ".join(f"{name} {1e3 * each:.2f} ms" for name, each in seconds.items())
    console.print(f"A step of 64 images, AdamW, one thread: {times}", highlight=False)
    facts = {
        "versions": {"onnxruntime": onnxruntime.__version__, "torch": torch.__version__},
        "epochs": _EPOCHS,
        "train_images": 1797 - _TEST_SIZE,
        "test_images": _TEST_SIZE,
        "percent_wrong": {
            n: {k: [round(v, 3) for v in e] for k, e in each.items()} for n, each in errors.items()
        },
        "step_seconds": {name: round(each, 6) for name, each in seconds.items()},
    }
    with replacing(output) as written:
        written.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
