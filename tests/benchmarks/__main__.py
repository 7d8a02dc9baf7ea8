"""`make bench`: measures, prints the ratios, writes results/<processor>.json and docs/bench.png."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.benchmarks.digits_steps import speeds
from tests.benchmarks.memory import peaks
from tests.benchmarks.picture import draw
from tests.benchmarks.results import Results
from tests.benchmarks.targets import ratios
from tests.cpp.build import build

_FOLDER = Path(__file__).parent
_PICTURE = _FOLDER.parents[1] / "docs" / "bench.png"
_ROUNDS = (
    "--benchmark-max-time=0.3",
    "--benchmark-min-rounds=5",
    "--benchmark-disable-gc",
    "--benchmark-quiet",
)


def _instruction_sets() -> dict[str, dict[str, float]]:
    program = build("instruction_sets") / "tests" / "cpp" / "instruction_sets"
    output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    rates: dict[str, dict[str, float]] = json.loads(output)
    return rates


def _measure() -> Results:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["-o", "python_files=bench_*.py", "-o", "python_functions=bench_*", "-q", "-p", "no:xdist"]
        failed = pytest.main([str(_FOLDER), *options, *_ROUNDS, f"--benchmark-json={report}"])
        if failed:
            sys.exit(failed)
        return Results.of_pytest(report, _instruction_sets(), peaks(), speeds())


def _table(results: Results) -> Table:
    table = Table(title=f"{results.machine['processor']}, {results.machine['cores']} cores")
    for name in ("ratio within this run", "measured", "target", ""):
        table.add_column(name, justify="left" if name.startswith("ratio") else "right")
    for ratio in ratios(results):
        goal = f"{ratio.sign} {ratio.target:.3g}" if ratio.sign else ""
        table.add_row(ratio.what, f"{ratio.value:.2f}", goal, "" if ratio.met else "missed")
    return table


def main() -> None:
    results = _measure()
    name = re.sub(r"\W+", "-", f"{results.machine['processor']} {results.machine['cores']} cores").lower()
    results.save(_FOLDER / "results" / f"{name}.json")
    draw(results, _PICTURE)
    Console().print(_table(results))


if __name__ == "__main__":
    main()
