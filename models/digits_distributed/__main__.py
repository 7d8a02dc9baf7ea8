"""make demo-distributed: train in one process and in two, compare slopes and weights, show the table."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console
from rich.table import Table

from models.digits_distributed.networks import KINDS
from models.digits_distributed.results import Comparison, compare, read
from models.digits_distributed.training import WAYS

_ONE, *_OTHERS = WAYS
_ROUNDING = 1e-6  # of weights
_LIMIT = 600  # seconds of one torchrun; a process that waits for a lost one would wait for half an hour


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.digits_distributed")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    return parser.parse_args()


def _torchrun(processes: int, folder: Path, dtype: str, epochs: int) -> None:
    ways = [name for name, way in WAYS.items() if way.processes == processes]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *("-m", "models.digits_distributed.worker", str(folder), dtype, str(epochs), *ways),
    ]
    subprocess.run(command, check=True, timeout=_LIMIT, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _compared(folder: Path) -> dict[str, dict[str, Comparison]]:
    """Way -> kind -> how it compares with one process."""
    rows: dict[str, dict[str, Comparison]] = {way: {} for way in _OTHERS}
    for kind in KINDS:
        one = read(folder / kind / _ONE)
        for way in _OTHERS:
            rows[way][kind] = compare(one, read(folder / kind / way))
    return rows


def _table(rows: dict[str, dict[str, Comparison]], dtype: str) -> Table:
    table = Table(
        title=f"Compared with {_ONE}, {dtype}",
        caption="Pairs (sample, layer) with the same slopes, bit for bit; largest difference of a weight.",
        caption_justify="left",
    )
    table.add_column("")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for way, found in rows.items():
        cells = (f"{each.equal:,} of {each.pairs:,}\n{each.difference:.0e}" for each in found.values())
        table.add_row(way, *cells)
    return table


def _report(rows: dict[str, dict[str, Comparison]], dtype: str, console: Console) -> bool:
    """Print all of it; does accept_step keep what it promises?"""
    console.print(_table(rows, dtype))
    with_steps = [found["accept_step"] for found in rows.values()]
    signs = max(each.other_signs for each in with_steps)
    if signs:
        console.print(f"accept_step: rounding gave up to {signs:,} inputs of rectifiers another sign")
    same_slopes = all(each.pairs and each.equal == each.pairs for each in with_steps)
    same_weights = all(each.difference < _ROUNDING for each in with_steps)
    kept = same_slopes and (same_weights or signs > 0)
    console.print(
        "[green]accept_step: all ways draw the same slopes[/green]"
        if kept
        else "[red]accept_step: slopes or weights differ[/red]"
    )
    return kept


def main() -> int:
    """Exit status 0 when accept_step gives all pairs the same slopes, and weights within rounding.

    Weights may differ more where rounding gave an input another sign, because gradients jump there.
    """
    arguments, console = _arguments(), Console()
    with tempfile.TemporaryDirectory() as folder:
        # Together: one process alone would leave a core idle.
        with console.status("training"), ThreadPoolExecutor() as threads:
            runs = [
                threads.submit(_torchrun, processes, Path(folder), arguments.dtype, arguments.epochs)
                for processes in sorted({way.processes for way in WAYS.values()})
            ]
        for run in runs:
            run.result()
        rows = _compared(Path(folder))
    return 0 if _report(rows, arguments.dtype, console) else 1


if __name__ == "__main__":
    raise SystemExit(main())
