"""`ort-rrelu info`: what is installed, or what a model holds of ours."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer

import ort_rrelu
from ort_rrelu import installation, library, schema
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import AsJson, app
from ort_rrelu.commands.describe import model_facts, print_model
from ort_rrelu.graph.file import new_model

_NOT_INSTALLED = "not installed: pip install 'ort-rrelu[cpu]'"
_EXAMPLE = terminal.example("ort-rrelu info model.onnx")


@app.command(epilog=f"Example: {_EXAMPLE}")
def info(
    model: Annotated[Path | None, typer.Argument(help="An ONNX model.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show the installation, or the RRelu and RReluGrad nodes of MODEL and whether they are valid."""
    if model is None:
        facts = _installation()
        terminal.print_json(facts) if as_json else _print_installation(facts)
        return
    facts = {"model": str(model), **model_facts(new_model(model))}
    terminal.print_json(facts) if as_json else print_model(facts)


def _installation() -> dict[str, Any]:
    return {
        "version": ort_rrelu.__version__,
        "library": installation.get_library_path(),
        "build": library.build_info(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        **_onnxruntime(),
    }


def _onnxruntime() -> dict[str, Any]:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return {"onnxruntime": None, "providers": []}
    except ImportError as error:  # installed, but for another machine
        return {"onnxruntime": f"cannot be imported ({error})", "providers": []}
    return {
        "onnxruntime": onnxruntime.__version__,
        "providers": onnxruntime.get_available_providers(),
    }


def _print_installation(facts: dict[str, Any]) -> None:
    build = facts["build"]
    terminal.print_line(f"ort-rrelu {facts['version']}", style="bold")
    terminal.print_line(facts["library"], style="dim")
    rows = {
        "Compiler": build["compiler"],
        "Instruction set": build["instruction_set"],
        "ABI": str(build["abi"]),
        "Runs on": f"ONNX Runtime {build['onnxruntime_oldest']} and newer "
        f"(headers {build['onnxruntime_headers']})",
        "CUDA": _cuda(build["cuda"]),
        "onnxruntime": facts["onnxruntime"] or _NOT_INSTALLED,
        "Providers": ", ".join(p.removesuffix("ExecutionProvider") for p in facts["providers"]) or "-",
        "onnx": facts["onnx"],
        "NumPy": facts["numpy"],
        "Python": facts["python"],
    }
    terminal.print_facts(rows)
    _print_kernels(build["kernels"])


def _cuda(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "no kernels in this build"
    ptx = f", PTX {facts['ptx']} for newer ones" if facts["ptx"] else ""
    architectures = ", ".join(facts["architectures"])
    return (
        f"toolkit {facts['toolkit']}, driver {facts['minimum_driver']} or newer\n"
        f"compute capability {architectures}{ptx}"
    )


def _print_kernels(kernels: dict[str, list[str]]) -> None:
    rows = [
        [op, provider.upper(), *("yes" if code in _codes(names) else "-" for code in schema.DTYPES.values())]
        for provider, names in kernels.items()
        for op in schema.schemas()
    ]
    terminal.print_table("Kernels", ["op", "provider", *map(str, schema.DTYPES)], rows)


def _codes(names: list[str]) -> set[int]:
    return {onnx.TensorProto.DataType.Value(name.upper()) for name in names}
