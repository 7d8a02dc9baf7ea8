"""`python -m tests.statistics.dieharder`: dieharder's tests of the raw words, in three orders.

Its tests are not independent of each other, so what many of them say together is compared with what they
say of two generators of NumPy's, which get here in the same way. It needs the program (Debian and Ubuntu:
`apt-get install dieharder`). A run of all its tests writes results/dieharder-<order or generator>.json.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from tests.onnx_models import Array
from tests.statistics import report
from tests.statistics.halves import halves
from tests.statistics.stream import CHUNK, Value
from tests.statistics.verdict import judge

_SEED = 20261130
_ALL = "-a"
_RAW = "200"  # dieharder's number for: words from standard input


def _elements() -> Iterator[Array]:
    step = 0
    while True:
        yield halves(CHUNK, seed=_SEED, step=step)
        step += 1


def _steps() -> Iterator[Array]:
    """The first block of each step, as rows with steps of their own have them."""
    rows, begin = CHUNK // 8, 0
    while True:
        yield halves(8, seed=_SEED, step=np.arange(begin, begin + rows, dtype=np.int64))
        begin += rows


def _seeds() -> Iterator[Array]:
    seed = 0
    while True:
        yield halves(4096, seed=seed)
        seed += 1


def _numpy(bits: type[np.random.BitGenerator]) -> Iterator[Array]:
    generator = np.random.Generator(bits(_SEED))
    while True:
        yield generator.integers(0, 2**32, CHUNK, np.uint32)


ORDERS: dict[str, Callable[[], Iterator[Array]]] = {"elements": _elements, "steps": _steps, "seeds": _seeds}
CONTROLS: dict[str, Callable[[], Iterator[Array]]] = {
    "pcg64": partial(_numpy, np.random.PCG64),
    "sfc64": partial(_numpy, np.random.SFC64),
}
_WORDS = ORDERS | CONTROLS


def parse(output: str, order: str) -> list[Value]:
    """The lines of dieharder's table: test | ntuple | samples | p-samples | p | its own verdict."""
    lines = [[field.strip() for field in line.split("|")] for line in output.splitlines()]
    rows = [fields for fields in lines if len(fields) == 6 and not fields[0].startswith("#")]
    return [
        Value(order, f"{test}, {ntuple}", int(samples) * int(repeats), float(p))
        for test, ntuple, samples, repeats, p, _ in rows
        if test != "test_name"
    ]


def run(order: str, *options: str) -> list[Value]:
    """Run dieharder with `options` on the words of an order, or of another generator."""
    program = shutil.which("dieharder")
    if program is None:
        sys.exit("dieharder is not installed (Debian and Ubuntu: apt-get install dieharder)")
    command = [program, *options, "-g", _RAW]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        try:
            for words in _WORDS[order]():
                process.stdin.write(words.tobytes())
        except BrokenPipeError:
            pass  # it has read enough
        output = process.communicate()[0].decode()
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}:\n{output}")
    return parse(output, order)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.statistics.dieharder", description=__doc__)
    names = f"of {', '.join(_WORDS)}; the first three"
    parser.add_argument("orders", nargs="*", default=list(ORDERS), help=names)
    parser.add_argument("--options", default=_ALL, help="dieharder's choice of tests, as one word")
    arguments = parser.parse_args()
    if unknown := set(arguments.orders) - set(_WORDS):
        parser.error(f"{', '.join(sorted(unknown))}: it must be of {', '.join(_WORDS)}")
    passed = True
    for order in arguments.orders:
        begin = time.monotonic()
        values = run(order, *arguments.options.split())
        command = f"python -m tests.statistics.dieharder {order} --options={arguments.options}"
        verdict = judge([value.p for value in values])
        if arguments.options == _ALL:
            report.write(report.RESULTS / f"dieharder-{order}.json", command, begin, values, verdict)
        print(order, verdict, flush=True)
        passed = passed and verdict.passed
    if not passed:
        sys.exit("a perfect stream is no explanation")


if __name__ == "__main__":
    main()
