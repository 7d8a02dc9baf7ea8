"""A little of everything, for compute-sanitizer to watch: python -m tests.gpu.sanitized."""

from __future__ import annotations

import torch

from tests.draws import Draw, by_reference, normal
from tests.gpu import device
from tests.onnx_models import DTYPES

_SIZES = [1, 255, 1024, 5003]


def main() -> None:
    for dtype in DTYPES:
        for size in _SIZES:
            for offset in (0, 1):
                for training in (True, False):
                    x = normal((size,), dtype)
                    draw = Draw(training=training)
                    source = device.on_device(x, offset)
                    saved = device.forward(source, draw, offset=offset)
                    device.backward(source, saved.noise)
                    device.backward_reserve(source, saved.reserve)
                    assert device.on_host(saved.y).tobytes() == by_reference(x, draw).y.tobytes()
    wrong = torch.zeros(64 + 1, dtype=torch.uint8, device="cuda")
    device.backward_reserve(torch.ones(8, device="cuda"), wrong)
    torch.cuda.synchronize()
    print("done")


if __name__ == "__main__":
    main()
