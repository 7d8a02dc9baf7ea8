"""What one way of training gives, and how long all of them train."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from models.digits_training.batches import BATCH
from ort_rrelu.arguments import Array
from ort_rrelu.files import replacing

EPOCHS, LEARNING_RATE, MIN_ACCURACY = 20, 2e-3, 0.95


@dataclass
class Result:
    """Losses: mean of each epoch; accuracies from 0 to 1, on the test images. As road_a.json has them."""

    runtime: str
    epochs: int
    batch: int = BATCH
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    exported_accuracy: float = 0.0
    resumed_bit_for_bit: bool = False


def write(result: Result, path: Path) -> None:
    """As JSON."""
    with replacing(path) as written:
        written.write_text(json.dumps(asdict(result), indent=2) + "\n", "utf-8")


def accuracy(logits: Array, labels: Array) -> float:
    """From 0 to 1."""
    return float((logits.argmax(1) == labels).mean())
