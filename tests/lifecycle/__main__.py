"""`make test-lifecycle`: the scenarios at length; prints what they found and writes result.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import onnxruntime
from rich.console import Console
from rich.table import Table

from ort_rrelu.files import replacing
from tests.lifecycle import scenarios

_RESULT = Path(__file__).parent / "result.json"
_ALONE: dict[Callable[[int], str], int] = {
    scenarios.sessions: 100_000,
    scenarios.registrations: 100_000,
    scenarios.new_seeds: 100_000,
    scenarios.threads: 20_000,
    scenarios.forks: 1000,
}
_WITH_FILES: dict[Callable[[int, Path], str], int] = {
    scenarios.interrupts: 100,
    scenarios.killed_writers: 200,
    scenarios.killed_trainings: 100,
}


def _run(name: str, times: int, act: Callable[[], str]) -> dict[str, object]:
    begin = time.monotonic()
    try:
        found, passed = act(), True
    except Exception as error:  # noqa: BLE001  # an error of any kind is found as well
        found, passed = f"{type(error).__name__}: {error}", False
    seconds = round(time.monotonic() - begin, 1)
    return {"scenario": name, "times": times, "found": found, "passed": passed, "seconds": seconds}


def run(part: float) -> list[dict[str, object]]:
    """part: of the usual number of times."""
    results = []
    for alone, usual in _ALONE.items():
        times = max(10, int(usual * part))
        results.append(_run(alone.__name__, times, partial(alone, times)))
    for with_files, usual in _WITH_FILES.items():
        times = max(3, int(usual * part))
        with tempfile.TemporaryDirectory() as folder:
            results.append(_run(with_files.__name__, times, partial(with_files, times, Path(folder))))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lifecycle", description=__doc__)
    parser.add_argument("--part", type=float, default=1.0, help="of the usual number of times")
    part = parser.parse_args().part
    results = run(part)
    table = Table("scenario", "times", "found", "seconds")
    for result in results:
        row = [result["scenario"], f"{result['times']:,}", result["found"], result["seconds"]]
        table.add_row(*map(str, row), style="" if result["passed"] else "red")
    Console().print(table)
    report = {"command": f"python -m tests.lifecycle --part {part:g}", "date": date.today().isoformat()}
    report |= {"onnxruntime": onnxruntime.__version__, "results": results}  # type: ignore[dict-item]
    if part == 1:
        with replacing(_RESULT) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
    if not all(result["passed"] for result in results):
        sys.exit("something grew or was lost")


main()
