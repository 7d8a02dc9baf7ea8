"""`ort-rrelu portable`: a model that also runs where the library is not."""

from __future__ import annotations

from ort_rrelu import graph
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app
from ort_rrelu.commands.options import AsJson, Force, Model, Output
from ort_rrelu.commands.transform import transform

__all__ = ["portable"]

_EXAMPLE = terminal.example("ort-rrelu portable model.onnx --output portable.onnx")


@app.command(epilog=f"Example: {_EXAMPLE}")
def portable(model: Model, output: Output, force: Force = False, as_json: AsJson = False) -> None:
    """Embed in MODEL the functions with which it also runs where the library is not.

    Where the library is, its kernels run. Models of an opset below 18 are converted.
    """
    transform(model, output, graph.portable, force=force, as_json=as_json)
