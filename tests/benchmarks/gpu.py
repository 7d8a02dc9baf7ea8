"""The device kernels against a copy of the same bytes and against torch; gpu_onnxruntime.py adds to it.

python -m tests.benchmarks.gpu OUT.json

Times are medians of CUDA events around single launches, on arrays that are many times the device's cache.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ort_rrelu import library

_REPEATS = 30
_CODES = {torch.float32: 1, torch.float64: 11, torch.float16: 10, torch.bfloat16: 16}


@dataclass(frozen=True)
class Result:
    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool | None:
        at_most = self.unit == "times LeakyRelu"
        if self.target is None:
            return None
        return self.value <= self.target if at_most else self.value >= self.target


def _event() -> torch.cuda.Event:
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event


def _seconds(work: Callable[[], object]) -> float:
    for _ in range(5):
        work()
    times = []
    for _ in range(_REPEATS):
        begin, end = _event(), _event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(float(begin.elapsed_time(end)) / 1e3)
    return statistics.median(times)


def _copy_bandwidth(moved: int) -> float:
    """Bytes read and written a second by a copy that moves as many."""
    source = torch.empty(moved // 8, dtype=torch.float32, device="cuda").normal_()
    target = torch.empty_like(source)
    return moved / _seconds(lambda: target.copy_(source))


@dataclass
class _Arrays:
    x: Tensor
    y: Tensor
    noise: Tensor
    reserve: Tensor

    @classmethod
    def of(cls, size: int, dtype: torch.dtype) -> _Arrays:
        x = torch.empty(size, dtype=dtype, device="cuda").normal_()
        reserve = torch.empty(library.reserve_bytes(size), dtype=torch.uint8, device="cuda")
        return cls(x, torch.empty_like(x), torch.empty_like(x), reserve)

    def forward(self, *outputs: str, training: bool = True) -> None:
        noise = self.noise.data_ptr() if "noise" in outputs else None
        reserve = self.reserve.data_ptr() if "reserve" in outputs else None
        params = library.Params(_CODES[self.x.dtype], training=training, seed=1)
        addresses = self.x.data_ptr(), self.y.data_ptr(), noise
        library.cuda_forward(params, _call(), *addresses, 0, self.x.numel(), reserve=reserve)

    def backward(self, saved: str) -> None:
        params, size = library.Params(_CODES[self.x.dtype]), self.x.numel()
        if saved == "noise":
            addresses = self.x.data_ptr(), self.noise.data_ptr(), self.y.data_ptr()
            library.cuda_backward(params, _call(), *addresses, 0, size)
        else:
            kept = self.reserve.data_ptr(), self.reserve.numel()
            library.cuda_backward_reserve(
                params, _call(), self.x.data_ptr(), *kept, self.y.data_ptr(), size, 0, size
            )


def _call() -> library.CudaCall:
    return library.CudaCall(int(torch.cuda.current_stream().cuda_stream))


# Name, what runs, bytes an element in units of the element's size (the reserve's bit apart), target.
_Measure = tuple[str, torch.dtype, Callable[[_Arrays], None], float, float | None]
_MEASURES: list[_Measure] = [
    ("train, float", torch.float32, lambda a: a.forward(), 2, 0.92),
    ("train, float, noise", torch.float32, lambda a: a.forward("noise"), 3, 0.90),
    ("train, float, reserve", torch.float32, lambda a: a.forward("reserve"), 2, None),
    ("train, float16", torch.float16, lambda a: a.forward(), 2, 0.85),
    ("train, bfloat16", torch.bfloat16, lambda a: a.forward(), 2, 0.85),
    ("train, double", torch.float64, lambda a: a.forward(), 2, None),
    ("eval, float", torch.float32, lambda a: a.forward(training=False), 2, None),
    ("backward from noise, float", torch.float32, lambda a: a.backward("noise"), 3, 0.92),
    ("backward from reserve, float", torch.float32, lambda a: a.backward("reserve"), 2, 0.85),
    ("backward from reserve, float16", torch.float16, lambda a: a.backward("reserve"), 2, None),
]


def _bandwidths(size: int) -> list[Result]:
    results = []
    for name, dtype, work, per_element, target in _MEASURES:
        arrays = _Arrays.of(size, dtype)
        arrays.forward("noise", "reserve")
        bits = size // 8 if "reserve" in name else 0
        moved = int(per_element * size * arrays.x.element_size()) + bits
        mine = moved / _seconds(functools.partial(work, arrays))
        results.append(Result(name, mine / _copy_bandwidth(moved), "of a copy's bandwidth", target))
        del arrays
    return results


def _against_torch(size: int) -> Result:
    arrays = _Arrays.of(size, torch.float32)
    theirs = _seconds(lambda: torch.nn.functional.rrelu(arrays.x, training=True))
    return Result(
        "train, float, against torch F.rrelu", theirs / _seconds(arrays.forward), "times as fast", 1.5
    )


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.check_output(command, text=True).split()[0]


def _machine() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "driver": _driver(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "build": library.build_info(),
    }


def write(path: Path, facts: dict[str, Any], results: list[Result]) -> None:
    """The results, printed too, with what was measured before in `facts`."""
    rows = [*facts.pop("results", []), *({**asdict(result), "met": result.met} for result in results)]
    path.write_text(json.dumps({**facts, "results": rows}, indent=1) + "\n", "utf-8")
    for result in results:
        verdict = {None: "", True: "met", False: "MISSED"}[result.met]
        print(f"{result.name:48} {result.value:6.2f} {result.unit:24} {result.target or '':>5} {verdict}")


def arguments(description: str | None) -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("out", type=Path)
    parser.add_argument("--elements", type=int, default=2**28)
    return parser.parse_args()


def main() -> None:
    given = arguments(__doc__)
    results = [*_bandwidths(given.elements), _against_torch(given.elements)]
    copy = _copy_bandwidth(8 * given.elements) / 1e9
    facts = {**_machine(), "elements": given.elements, "copy_GB_per_second": copy}
    print(f"{facts['device']}, copy {copy:.0f} GB/s")
    write(given.out, facts, results)


if __name__ == "__main__":
    main()
