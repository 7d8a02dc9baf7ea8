"""`make fuzz-models`: every tool on damaged models; prints what it found and writes fuzz_models.json."""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import NamedTuple

import onnx
import onnxruntime

from ort_rrelu import library
from ort_rrelu.files import replacing
from tests.commands.fuzz_process import FuzzProcess, look

_RESULT = Path(__file__).with_suffix(".json")
_USUAL = 100_000
_BETWEEN = 10_000  # models from one line of progress to the next
_OF_A_PART = 500  # hypothesis keeps all that it has drawn in one call


class _Part(NamedTuple):
    tried: int
    runtime_ends: int
    found: dict[str, str]


_stopped = multiprocessing.Event()  # the processes of a pool share it


def _share(event: Event) -> None:
    global _stopped
    _stopped = event


def _try_part(first: int, end: float) -> _Part:
    """The models that follow from this number; none of them once it is later than `end`, or stopped."""
    if time.time() > end or _stopped.is_set():
        return _Part(0, 0, {})
    process = FuzzProcess()
    try:
        tried, found = look(process, _OF_A_PART, first)
        return _Part(tried, process.runtime_ends, found)
    finally:
        process.end()


def _parts(cases: int, first: int, jobs: int, minutes: float) -> Iterator[_Part]:
    """Ctrl-C ends the parts that are being tried, and no more are begun."""
    numbers = range(first, first + -(-cases // _OF_A_PART))
    end = time.time() + 60 * minutes
    with ProcessPoolExecutor(jobs, initializer=_share, initargs=(_stopped,)) as pool:
        try:
            for done in as_completed([pool.submit(_try_part, number, end) for number in numbers]):
                yield done.result()
        except KeyboardInterrupt:
            _stopped.set()  # for those that a process has taken already
            pool.shutdown(wait=False, cancel_futures=True)


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text}: it must be 1 or more")
    return number


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.commands.fuzz_models", description=__doc__)
    parser.add_argument("--cases", type=_positive, default=_USUAL, help=f"how many, in parts of {_OF_A_PART}")
    parser.add_argument("--first", type=int, default=0, help="the number that the first models follow from")
    parser.add_argument("--jobs", type=_positive, default=1, help="how many at a time")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no more are begun")
    options = parser.parse_args()
    begin, tried, runtime_ends = time.monotonic(), 0, 0
    found: dict[str, str] = {}
    for part in _parts(options.cases, options.first, options.jobs, options.minutes):
        tried, runtime_ends = tried + part.tried, runtime_ends + part.runtime_ends
        for place in part.found.keys() - found.keys():
            print(part.found[place], end="\n\n", flush=True)
        found = part.found | found
        if tried // _BETWEEN > (tried - part.tried) // _BETWEEN:
            print(f"{tried} models, {(time.monotonic() - begin) / 60:.1f} min", flush=True)
    words = [f"--{name} {value}" for name, value in vars(options).items()]
    report = {
        "command": " ".join(["python -m tests.commands.fuzz_models", *words]),
        "date": date.today().isoformat(),
        "library": library.build_info()["version"],
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "models": tried,
        "ends of ONNX Runtime alone": runtime_ends,
        "findings": sorted(found),
        "minutes": round((time.monotonic() - begin) / 60, 1),
    }
    print(json.dumps(report, indent=1))
    if tried >= _USUAL:
        with replacing(_RESULT) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
    if found:
        sys.exit("some models are too much for a tool")


if __name__ == "__main__":
    main()
