"""python -m models.digits_serving: train, export, join with image processing, and check on encoded images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console

import ort_rrelu
from models.digits import network as digits
from models.digits.exports import exporters_advice_hidden
from models.digits.train import train
from ort_rrelu.arguments import Array
from ort_rrelu.graph.file import write_model
from ort_rrelu.serving.images import image_classifier
from ort_rrelu.serving.model import ServedModel
from ort_rrelu.serving.requests import Tensor

_OUT = Path("out/digits_serving")
_ACCURACY = 0.94


def encoded(pixels: Array, form: str) -> bytes:
    """A digit as a PNG or JPEG of 64 x 64 pixels; pixels: [8, 8], from 0 to 1."""
    image = Image.fromarray((pixels * 255).round().astype(np.uint8)).resize(
        (64, 64), Image.Resampling.NEAREST
    )
    written = io.BytesIO()
    image.save(written, form)
    return written.getvalue()


def main() -> int:
    """Exit status 0 when at least 94 % of the test images, encoded, get their label."""
    console = Console()
    _OUT.mkdir(parents=True, exist_ok=True)
    data, network = digits.load(), digits.build()
    train(network, data, console)
    with exporters_advice_hidden():
        exported = ort_rrelu.torch.export(
            network.eval(),
            (torch.from_numpy(data.test_images[:2]),),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["images"],
            output_names=["logits"],
            verbose=False,
        )
    path, example = _OUT / "digits.onnx", _OUT / "example.png"
    write_model(image_classifier(exported), path)
    example.write_bytes(encoded(data.test_images[0, 0], "PNG"))
    served = ServedModel(path)
    accuracies = []
    for form in ("PNG", "JPEG"):
        labels = []
        for image in data.test_images[:, 0]:
            arrays = served.arrays([Tensor("image", "BYTES", [1], [encoded(image, form)])])
            labels.append(served.run(arrays)["label"].item())
        accuracies.append(float((np.array(labels) == data.test_labels).mean()))
        console.print(f"{form}: {accuracies[-1]:.1%} of {len(labels)} images get their label")
    console.print(f"Written: {path}, {example} (a {data.test_labels[0]})", highlight=False)
    return 0 if min(accuracies) >= _ACCURACY else 1


if __name__ == "__main__":
    raise SystemExit(main())
