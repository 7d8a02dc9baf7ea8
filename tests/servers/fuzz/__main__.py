"""`make fuzz-serving`: what came back; a run of 10^5 requests writes tests/servers/results/fuzz.json."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.servers.fuzz import run
from tests.servers.results import write

_USUAL = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.fuzz", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first request, to repeat one")
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, run.servers(Path(folder)) as served:
        numbers = range(options.first, options.first + options.requests)
        result = run.fuzz_and_watch(served, Path(folder), options.seed, numbers)
    counted: Counter[str] = Counter()
    for (over, kind, status), times in sorted(result.found.requests.items()):
        counted[over] += times
        print(f"{over:5} {kind:8} {status if status > 0 else 'closed':>6} {times:8,}")
    report = {
        "requests": {**counted, "known answers between": result.found.known},
        "answers": {
            f"{over}, {kind}, {status}": n
            for (over, kind, status), n in sorted(result.found.requests.items())
        },
        "before": {name: asdict(state) for name, state in result.before.items()},
        "after": {name: asdict(state) for name, state in result.after.items()},
        "faults": result.faults,
    }
    command = f"python -m tests.servers.fuzz --requests {options.requests} --seed {options.seed}"
    if options.requests >= _USUAL and not options.first:
        write("fuzz", command, begin, report)
    print(f"{sum(counted.values()):,} requests, {len(result.faults)} faults")
    if result.faults:
        sys.exit("\n".join(result.faults))


main()
