"""`make test-stream`: p-values of 10^9 draws, and of 10^9 of each pair."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.statistics import report
from tests.statistics.stream import Value, values
from tests.statistics.verdict import Verdict, judge

_USUAL = 10**9


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.statistics", description=__doc__)
    parser.add_argument("--draws", type=int, default=_USUAL, help="of the long stream, and of each pair")
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument(
        "--results", type=Path, help="where they are written as JSON; a whole run's go to results/stream.json"
    )
    return parser.parse_args()


def _shown(results: list[Value], verdict: Verdict) -> None:
    table = Table("draws of", "test", "number", "p")
    for value in results:
        table.add_row(value.subject, value.test, f"{value.draws:,}", f"{value.p:.4f}")
    console = Console()
    console.print(table)
    for level, (found, expected) in verdict.beyond.items():
        console.print(f"two-sided p below {level}: {found} of {verdict.number}, {expected:.1f} are expected")
    console.print(f"the p-values themselves are uniform: p = {verdict.together:.4f}")


def main() -> None:
    arguments = _arguments()
    begin = time.monotonic()
    results = list(values(arguments.seed, arguments.draws))
    command = f"python -m tests.statistics --draws {arguments.draws} --seed {arguments.seed}"
    whole = report.RESULTS / "stream.json" if arguments.draws >= _USUAL else None
    verdict = judge([value.p for value in results])
    if path := arguments.results or whole:
        report.write(path, command, begin, results, verdict)
    _shown(results, verdict)
    if not verdict.passed:
        sys.exit(f"a perfect stream is no explanation: the smallest p is {verdict.smallest:.1e}")


main()
