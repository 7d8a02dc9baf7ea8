"""`ort-rrelu compare`: two models, or one in two runtimes, on the same inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ort_rrelu.arguments import Array
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import AsJson, Dims, Files, Seed, Step, app
from ort_rrelu.commands.feed import common_inputs, feeds
from ort_rrelu.commands.runtimes import Difference, Runner, difference, in_onnxruntime, in_reference
from ort_rrelu.errors import InvalidValueError

_EXAMPLE = terminal.example("ort-rrelu compare model.onnx --without-library --input x.npy --tolerance 1e-6")
_COLUMNS = ["output", "dtype", "shape", "largest difference", "elements with other bits"]


@app.command(epilog=f"Example: {_EXAMPLE}")
def compare(
    first: Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model.", show_default=False)],
    second: Annotated[
        Path | None,
        typer.Argument(
            metavar="OTHER", help="What to compare it with; else MODEL itself.", show_default=False
        ),
    ] = None,
    without_library: Annotated[
        bool, typer.Option("--without-library", help="Run the second of the two without the library.")
    ] = False,
    reference: Annotated[
        bool, typer.Option("--reference", help="Run the second of the two in onnx's ReferenceEvaluator.")
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, metavar="T", help="Exit with 1 if an output differs by more, or in shape."),
    ] = None,
    files: Files = None,
    dims: Dims = None,
    seed: Seed = None,
    step: Step = None,
    as_json: AsJson = False,
) -> None:
    """Run MODEL and OTHER, or MODEL in two runtimes, on the same inputs and show how their outputs differ."""
    _check_options(second, without_library=without_library, reference=reference)
    other = second or first
    with terminal.working("Comparing", quiet=as_json):
        a = in_onnxruntime(first, seed=seed)
        b = (
            in_reference(other)
            if reference
            else in_onnxruntime(other, seed=seed, library=not without_library)
        )
        inputs = common_inputs(a.name, a.inputs, b.name, b.inputs)
        (arrays,) = feeds(inputs, files=files or (), dims=dims or (), step=step)
        facts = _facts(a, b, arrays, tolerance)
    terminal.print_json(facts) if as_json else _print(facts)
    if facts["exceeded"]:
        raise typer.Exit(1)


def _check_options(second: Path | None, *, without_library: bool, reference: bool) -> None:
    if second is None and not (without_library or reference):
        raise InvalidValueError(
            "there is one model only: name another, or a second runtime for it, "
            "--without-library or --reference"
        )
    if without_library and reference:
        raise InvalidValueError("--without-library and --reference: the second runs in one of them only")


def _facts(a: Runner, b: Runner, arrays: dict[str, Array], tolerance: float | None) -> dict[str, Any]:
    results = [each.run({i.name: arrays[i.name] for i in each.inputs}) for each in (a, b)]
    pairs = _pairs(a.name, list(results[0]), b.name, list(results[1]))
    outputs = [_output(x, results[0][x], y, results[1][y], tolerance) for x, y in pairs]
    return {
        "first": a.name,
        "second": b.name,
        "fresh_nodes": [a.fresh, b.fresh],
        "outputs": outputs,
        "tolerance": tolerance,
        "exceeded": any(output["exceeded"] for output in outputs),
    }


def _pairs(a: str, outputs: Sequence[str], b: str, others: Sequence[str]) -> list[tuple[str, str]]:
    """By name, or by place where exporters gave them other names."""
    if set(outputs) == set(others):
        return [(name, name) for name in outputs]
    if len(outputs) != len(others):
        raise InvalidValueError(
            f"the outputs cannot be compared: {a} has {', '.join(outputs)}, {b} has {', '.join(others)}"
        )
    return list(zip(outputs, others, strict=True))


def _output(
    name: str, a: Array | None, other: str, b: Array | None, tolerance: float | None
) -> dict[str, Any]:
    if a is None or b is None:
        raise InvalidValueError(f'output "{name}" is not a tensor: the command line cannot compare it')
    found: Difference = difference(a, b)
    return {
        "name": name if name == other else f"{name}, {other}",
        "dtype": _both(str(a.dtype), str(b.dtype)),
        "shape": _both(str(list(a.shape)), str(list(b.shape))),
        "elements": a.size,
        "largest_difference": found.largest,
        "other_bits": found.elements,
        "exceeded": tolerance is not None and found.exceeds(tolerance),
    }


def _both(a: str, b: str) -> str:
    return a if a == b else f"{a}, {b}"


def _print(facts: dict[str, Any]) -> None:
    terminal.print_line(f"{facts['first']}\n{facts['second']}", style="bold")
    terminal.print_table("Outputs", _COLUMNS, map(_cells, facts["outputs"]), right=_COLUMNS[3:])
    for name, fresh in zip((facts["first"], facts["second"]), facts["fresh_nodes"], strict=True):
        if fresh:
            terminal.print_line(f"\n{name}: train nodes that draw other slopes in every session: {fresh}")
    if facts["tolerance"] is not None:
        verdict = "exceeded" if facts["exceeded"] else "kept"
        terminal.print_line(f"\nTolerance {facts['tolerance']:g}: {verdict}")


def _cells(output: dict[str, Any]) -> list[str]:
    bits = "-" if output["other_bits"] is None else f"{output['other_bits']} of {output['elements']}"
    return [
        output["name"],
        output["dtype"],
        output["shape"],
        terminal.number(output["largest_difference"]),
        bits,
    ]
