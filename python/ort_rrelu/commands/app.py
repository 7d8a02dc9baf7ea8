"""The command-line app: how errors leave it, the options that verbs share, what they may write to."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ort_rrelu
from ort_rrelu import arguments
from ort_rrelu.commands import terminal
from ort_rrelu.errors import Error, InvalidValueError
from ort_rrelu.files import check_target


class _Group(TyperGroup):
    """The verbs, with every error a user can cause told in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # --debug counts wherever it stands: one appends it to the command that has just failed.
        rest = [argument for argument in args if argument != "--debug"]
        return super().parse_args(ctx, rest if len(rest) == len(args) else ["--debug", *rest])

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # typer ends quietly: whoever read us has seen enough
            raise
        except (Error, OSError, MemoryError) as error:
            terminal.print_error(error, traceback=ctx.params["debug"])
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback is then a bug of ours, in the form that reports need
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Example: {terminal.example('ort-rrelu run model.onnx --input x.npy --output y.npz')}",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ort-rrelu {ort_rrelu.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """RReLU for ONNX Runtime: export models with RRelu nodes, change, run, compare and time them."""


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
        help="Where the new model goes. MODEL changes only if you name it here, too.",
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
        help="X.npy, NAME=X.npy or ARRAYS.npz; bfloat16 inputs come from float32 files. "
        "Other inputs are random, the same in every call.",
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
        help="Seed for train nodes that have none; without it they draw fresh slopes.",
    ),
]

Step = Annotated[
    int | None,
    typer.Option(
        parser=integer(),
        metavar="N",
        help='First number for the input named "step", else 0; each run adds 1. All rows get the same one.',
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

RowSteps = Annotated[
    bool,
    typer.Option(
        "--step-input-rows",
        help="The same with one step for each row of the inputs, where rows are proved to stay apart.",
    ),
]


def step_input_of(*, one: bool, rows: bool) -> arguments.StepInput:
    """The two options as the exporters' step_input=. Raises InvalidValueError if both are given."""
    if one and rows:
        raise InvalidValueError("--step-input and --step-input-rows exclude each other: give one of them")
    return arguments.ROWS if rows else one


class OutputExistsError(Error, FileExistsError):
    """The output exists, and nobody said that it may be replaced."""


def check_output(output: Path, *, force: bool, source: Path | None = None) -> None:
    """Raise OSError when `output` cannot be written, or exists, is not `source` and there is no `force`."""
    check_target(output)
    if output.exists() and not force and not (source is not None and output.resolve() == source.resolve()):
        raise OutputExistsError(f"{output} exists: --force replaces it")
