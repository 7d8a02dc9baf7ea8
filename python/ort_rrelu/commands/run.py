"""`ort-rrelu run`: run a model in ONNX Runtime with the library registered."""

from __future__ import annotations

import statistics
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ort_rrelu.arguments import Array
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import AsJson, Dims, Files, Force, Model, Seed, Step, app, check_output, integer
from ort_rrelu.commands.feed import feeds
from ort_rrelu.commands.runtimes import open_session, session_inputs, timed_run
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.files import replacing
from ort_rrelu.tensors import as_array, element_dtype, is_extension

_EXAMPLE = terminal.example("ort-rrelu run model.onnx --input x.npy --seed 0 --output y.npz")
_COLUMNS = ["name", "dtype", "shape", "min", "mean", "max"]


@dataclass(frozen=True)
class _Result:
    inputs: dict[str, Array]
    outputs: dict[str, Array | None]
    types: dict[str, str]
    seconds: list[float]


@app.command(epilog=f"Example: {_EXAMPLE}")
def run(
    model: Model,
    files: Files = None,
    dims: Dims = None,
    seed: Seed = None,
    step: Step = None,
    repeat: Annotated[int, typer.Option(parser=integer(1), metavar="N", help="How often to run.")] = 1,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.npz", help="Write the outputs of the last run."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Run MODEL in ONNX Runtime and show its inputs, outputs and run time."""
    if output is not None:
        _check_target(output, force=force)
    session = open_session(model, seed=seed)
    if output is not None:
        _check_outputs(session)
    inputs = session_inputs(model, session)
    result = _run(session, feeds(inputs, files=files or (), dims=dims or (), step=step, repeat=repeat))
    if output is not None:
        _write(output, result.outputs)
    facts = _facts(model, result, output)
    terminal.print_json(facts) if as_json else _print(facts)


def _run(session: Any, arrays_of_runs: Iterable[dict[str, Array]]) -> _Result:
    seconds = []
    for arrays in arrays_of_runs:
        results, taken = timed_run(session, arrays)
        seconds.append(taken)
    outputs = {name: as_array(value) for name, value in results.items()}
    return _Result(arrays, outputs, {output.name: output.type for output in session.get_outputs()}, seconds)


def _check_target(target: Path, *, force: bool) -> None:
    """What would make the writing fail is told before the model runs."""
    if target.suffix != ".npz":
        raise InvalidValueError(f"--output {target}: the file is an .npz archive: name it {target.stem}.npz")
    check_output(target, force=force)


def _check_outputs(session: Any) -> None:
    for output in session.get_outputs():
        if element_dtype(output.type) is None:
            raise InvalidTypeError(
                f'--output: output "{output.name}" is {output.type}, which .npz files cannot hold'
            )


def _write(target: Path, arrays: Mapping[str, Array | None]) -> None:
    # np.savez takes the names as keyword arguments, so that an output called "file" would break it.
    with replacing(target) as written, zipfile.ZipFile(written, "w") as archive:
        for name, array in arrays.items():
            if array is not None:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, _writable(array), allow_pickle=False)


def _writable(array: Array) -> Array:
    """In a type that .npy files have: they have no bfloat16, which float32 holds exactly."""
    if is_extension(array.dtype):
        return array.astype(np.float32)
    return array.astype(str) if array.dtype.kind == "O" else array


def _tensor(name: str, array: Array | None, kind: str = "") -> dict[str, Any]:
    if array is None:
        return {"name": name, "dtype": kind, "shape": None, "min": None, "mean": None, "max": None}
    dtype = "string" if array.dtype.kind == "O" else str(array.dtype)
    return {"name": name, "dtype": dtype, "shape": list(array.shape), **_statistics(array)}


def _statistics(array: Array) -> dict[str, float | None]:
    """min, mean and max, each None for an empty tensor and for one that holds no real numbers."""
    wide = array.astype(np.float32) if is_extension(array.dtype) else array
    if not wide.size or wide.dtype.kind not in "biuf":
        return dict.fromkeys(("min", "mean", "max"))
    with np.errstate(all="ignore"):  # infinities of both signs have the mean NaN, silently
        return {
            "min": wide.min().item(),
            "mean": wide.mean(dtype=np.float64).item(),
            "max": wide.max().item(),
        }


def _facts(model: Path, result: _Result, output: Path | None) -> dict[str, Any]:
    return {
        "model": str(model),
        "inputs": [_tensor(name, array) for name, array in result.inputs.items()],
        "outputs": [_tensor(name, array, result.types[name]) for name, array in result.outputs.items()],
        "runs": len(result.seconds),
        "median_ms": statistics.median(result.seconds) * 1e3,
        "output": None if output is None else str(output),
    }


def _print(facts: dict[str, Any]) -> None:
    terminal.print_line(facts["model"], style="bold")
    for title in ("inputs", "outputs"):
        rows = [_cells(tensor) for tensor in facts[title]]
        terminal.print_table(title.capitalize(), _COLUMNS, rows, right=_COLUMNS[3:])
    terminal.print_line()
    runs = facts["runs"]
    what = "1 run" if runs == 1 else f"median of {runs} runs, the last of which is shown"
    terminal.print_line(f"{facts['median_ms']:.3f} ms ({what})")
    if facts["output"] is None:
        return
    widened = [t["name"] for t in facts["outputs"] if t["dtype"].startswith(("bfloat16", "float8"))]
    note = f" ({', '.join(widened)} as float32, which holds every value)" if widened else ""
    terminal.print_line(f"Wrote {facts['output']}{note}")


def _cells(tensor: dict[str, Any]) -> list[str]:
    shape = "-" if tensor["shape"] is None else str(tensor["shape"])
    return [
        tensor["name"],
        tensor["dtype"],
        shape,
        *(terminal.number(tensor[key]) for key in ("min", "mean", "max")),
    ]
