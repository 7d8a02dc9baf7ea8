"""`ort-rrelu fuse`: what other exporters leave of RReLU becomes RRelu."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import Annotated, Any

import typer

from ort_rrelu import graph
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app
from ort_rrelu.commands.options import AsJson, Force, Model, Output
from ort_rrelu.commands.transform import transform

__all__ = ["fuse"]

_EXAMPLE = terminal.example("ort-rrelu fuse stock.onnx --output fused.onnx")


@app.command(epilog=f"Example: {_EXAMPLE}")
def fuse(
    model: Model,
    output: Output,
    no_portable: Annotated[
        bool, typer.Option("--no-portable", help="Write a model that runs only where the library is.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Turn RReLU as other exporters write it in MODEL, random slopes and PRelu or Where, into RRelu nodes."""
    findings: list[graph.Finding] = []
    transform(
        model,
        output,
        partial(graph.fuse, report=findings.append, portable=not no_portable),
        force=force,
        as_json=as_json,
        more=lambda: {"findings": [asdict(finding) for finding in findings]},
        print_more=_print,
    )


def _print(facts: dict[str, Any]) -> None:
    for title, fused in (("Fused", True), ("Left as they are", False)):
        rows = [[each["node"], each["reason"]] for each in facts["findings"] if each["fused"] == fused]
        if rows:
            terminal.print_table(title, ["node", "how" if fused else "why"], rows)
