"""What the page of models/web must show, by the kernels: python -m tests.web.expected PAGE FILE."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ort_rrelu

_DIGITS = (3, 18)  # one that the network is sure of, one of those where it doubts
_STEPS = (0, 7, 2**40 + 3)


def _probabilities(model: Path, pixels: list[int], step: int | None) -> list[float]:
    feeds = {"images": np.array(pixels, np.float32).reshape(1, 1, 8, 8) / 16}
    if step is not None:
        feeds["step"] = np.array(step)
    (logits,) = ort_rrelu.InferenceSession(model, lower_eval=False).run(None, feeds)[0]
    exps = np.exp(logits - logits.max())
    values: list[float] = (exps / exps.sum()).tolist()
    return values


def _cases(page: Path) -> Iterator[dict[str, Any]]:
    facts = json.loads((page / "digits.json").read_text("utf-8"))
    for digit in _DIGITS:
        pixels = facts["digits"][digit]["pixels"]
        values = _probabilities(page / "eval.onnx", pixels, None)
        yield {"digit": digit, "mode": "eval", "probabilities": values}
        for seed, step in itertools.product(facts["seeds"], _STEPS):
            values = _probabilities(page / f"train.seed{seed}.onnx", pixels, step)
            yield {"digit": digit, "mode": "train", "seed": seed, "step": step, "probabilities": values}


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(list(_cases(Path(sys.argv[1])))), "utf-8")
