"""The command-line app, and how errors leave it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import ort_rrelu
from ort_rrelu.commands import terminal
from ort_rrelu.errors import Error

__all__ = ["app"]


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
