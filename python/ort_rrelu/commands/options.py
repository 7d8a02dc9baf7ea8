"""The options that several verbs share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "DerivedSeed",
    "Dims",
    "Files",
    "Force",
    "Model",
    "Output",
    "Seed",
    "Step",
    "StepInput",
    "integer",
]

_INTEGER = re.compile(r"-?[0-9]{1,20}")  # 20 digits: more than 64 bits hold


def integer(lowest: int | None = None) -> Callable[[str], int]:
    """The parser of an option: decimal digits, and a minus before them.

    int() would also take "1_000", blanks, and the digits of every script.
    """

    def parsed(text: str) -> int:
        if _INTEGER.fullmatch(str(text)) is None:  # a default is an int already
            raise typer.BadParameter(f"{text[:40]!r} is not an integer in decimal digits")
        if lowest is not None and int(text) < lowest:
            raise typer.BadParameter(f"{text}: it must be at least {lowest}")
        return int(text)

    return parsed


Model = Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX model.", show_default=False)]

Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where the new model goes; MODEL changes only when it is named here, too.",
        show_default=False,
    ),
]

Force = Annotated[bool, typer.Option("--force", "-f", help="Replace an output that exists.")]

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "-i",
        metavar="[NAME=]FILE",
        help="X.npy, NAME=X.npy or ARRAYS.npz; bfloat16 inputs from float32 files. "
        "Inputs not given are random, the same in every call.",
    ),
]

Dims = Annotated[
    list[str] | None,
    typer.Option("--dim", metavar="NAME=SIZE", help="Size of a named dimension of random inputs, else 1."),
]

Seed = Annotated[
    int | None,
    typer.Option(
        parser=integer(),
        metavar="N",
        help="For train nodes that have no seed; without it they draw fresh slopes.",
    ),
]

Step = Annotated[
    int | None,
    typer.Option(
        parser=integer(),
        metavar="N",
        help='First number for the input named "step", else 0; each run adds 1.',
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

DerivedSeed = Annotated[
    int | None,
    typer.Option(
        "--seed", parser=integer(), metavar="N", help="Give each train node a seed derived from this one."
    ),
]

StepInput = Annotated[
    bool, typer.Option("--step-input", help="Add the input step, the number of the draw, for train nodes.")
]
