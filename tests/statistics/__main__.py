"""`make test-stream`: p-values of 10^9 draws, and of 10^9 of each pair; written to results/, too."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ort_rrelu import library
from tests.statistics.stream import Value, values
from tests.statistics.verdict import Verdict, judge

_RESULTS = Path(__file__).parent / "results" / "stream.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.statistics", description=__doc__)
    parser.add_argument("--draws", type=int, default=10**9, help="of the long stream, and of each pair")
    parser.add_argument("--seed", type=int, default=20261130)
    parser.add_argument("--results", type=Path, default=_RESULTS, help="where they are written as JSON")
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
    verdict = judge([value.p for value in results])
    _shown(results, verdict)
    report = {
        "command": f"python -m tests.statistics --draws {arguments.draws} --seed {arguments.seed}",
        "date": date.today().isoformat(),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "library": library.build_info()["version"],
        "instruction_set": library.build_info()["instruction_set"],
        "verdict": asdict(verdict),
        "values": [asdict(value) for value in results],
    }
    arguments.results.parent.mkdir(exist_ok=True)
    arguments.results.write_text(json.dumps(report, indent=1) + "\n")
    if not verdict.passed:
        sys.exit(f"a perfect stream is no explanation: the smallest p is {verdict.smallest:.1e}")


main()
