"""`make test-faults`: what became of the requests; a whole run writes tests/servers/results/faults.json."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from tests.servers.faults import run
from tests.servers.results import write

_USUAL = 8.0
_LEAST_RATIO = 0.5  # of two throughputs on a machine that does other things


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers.faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=_USUAL, help="of each failure")
    parser.add_argument(
        "--under", nargs="+", choices=run.FAILURES, default=run.FAILURES, help="which, before the full disk"
    )
    options = parser.parse_args()
    seconds = options.seconds
    begin = time.monotonic()
    reports, faults = [], []
    with tempfile.TemporaryDirectory() as folder:
        for report in run.lasting(Path(folder), seconds, _LEAST_RATIO, options.under):
            print(report, flush=True)
            reports.append(asdict(report))
            faults += [f"{report.name}: {fault}" for fault in report.faults]
        for how in (signal.SIGTERM, signal.SIGKILL):
            killed = run.killed(Path(folder), how, seconds / 4)
            print(killed, flush=True)
            reports.append(asdict(killed))
            faults += [f"{killed.name}: {fault}" for fault in killed.faults]
    if seconds >= _USUAL and options.under is run.FAILURES:
        write("faults", f"python -m tests.servers.faults --seconds {seconds:g}", begin, {"failures": reports})
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":  # its processes import this file
    main()
