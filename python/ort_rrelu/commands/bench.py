"""`ort-rrelu bench`: the run time of models, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ort_rrelu.arguments import Array
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import AsJson, Dims, Files, Seed, Step, app, integer
from ort_rrelu.commands.feed import Input, feeds, with_step_of
from ort_rrelu.commands.runtimes import open_session, session_inputs, timed_run

_EXAMPLE = terminal.example("ort-rrelu bench model.onnx other.onnx --dim batch=64 --threads 1")
_COLUMNS = ["model", "median ms", "10 %", "90 %", "times the first"]
_WARM_UP = 3  # runs that are not counted: the first ones allocate


@dataclass
class _Contender:
    name: str
    session: Any
    arrays: Iterator[dict[str, Array]]
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        _outputs, seconds = timed_run(self.session, next(self.arrays))
        self.seconds.append(seconds)


@app.command(epilog=f"Example: {_EXAMPLE}")
def bench(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="ONNX models.", show_default=False)
    ],
    without_library: Annotated[
        bool, typer.Option("--without-library", help="Also time each model without the library.")
    ] = False,
    repeat: Annotated[int, typer.Option(parser=integer(1), metavar="N", help="How often each runs.")] = 50,
    threads: Annotated[
        int,
        typer.Option(
            parser=integer(0), metavar="N", help="Threads of one operator; 0 is ONNX Runtime's choice."
        ),
    ] = 0,
    files: Files = None,
    dims: Dims = None,
    seed: Seed = None,
    step: Step = None,
    as_json: AsJson = False,
) -> None:
    """Time MODEL... in ONNX Runtime. They take turns, run by run, so that the machine treats all alike."""
    rounds = _WARM_UP + repeat
    kinds = (True, False) if without_library else (True,)
    sessions = [
        (
            f"{model}" if library else f"{model} without the library",
            open_session(model, seed=seed, threads=threads, library=library, in_turn=True),
        )
        for model in models
        for library in kinds
    ]
    paths = [model for model in models for _library in kinds]
    inputs = [session_inputs(path, session) for path, (_name, session) in zip(paths, sessions, strict=True)]
    every = [one for each in inputs for one in each]

    def arrays(own: list[Input]) -> Iterator[dict[str, Array]]:
        given = with_step_of(own, every)
        for made in feeds(given, files=files or (), dims=dims or (), step=step, repeat=rounds):
            yield {i.name: made[i.name] for i in own}

    contenders = [
        _Contender(name, session, arrays(own)) for (name, session), own in zip(sessions, inputs, strict=True)
    ]
    for _round in terminal.progress(range(rounds), "Running", quiet=as_json):
        for each in contenders:
            each.run()
    facts = _facts(contenders, threads)
    terminal.print_json(facts) if as_json else _print(facts)


def _facts(contenders: list[_Contender], threads: int) -> dict[str, Any]:
    models = [_times(each) for each in contenders]
    first = models[0]["median_ms"]
    return {
        "runs": len(contenders[0].seconds) - _WARM_UP,
        "threads": threads,
        "models": [model | {"ratio": model["median_ms"] / first} for model in models],
    }


def _times(contender: _Contender) -> dict[str, Any]:
    milliseconds = np.array(contender.seconds[_WARM_UP:]) * 1e3
    low, median, high = np.percentile(milliseconds, (10, 50, 90)).tolist()
    return {"name": contender.name, "median_ms": median, "p10_ms": low, "p90_ms": high}


def _print(facts: dict[str, Any]) -> None:
    rows = [
        [model["name"], *(f"{model[key]:.3f}" for key in ("median_ms", "p10_ms", "p90_ms", "ratio"))]
        for model in facts["models"]
    ]
    threads = f", threads {facts['threads']}" if facts["threads"] else ""
    terminal.print_table(f"{facts['runs']} runs{threads}", _COLUMNS, rows, right=_COLUMNS[1:])
