"""`ort-rrelu info`: what is installed, or what a model holds of ours."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer

import ort_rrelu
from ort_rrelu import library, schema
from ort_rrelu.commands import terminal
from ort_rrelu.commands.app import app
from ort_rrelu.graph import check
from ort_rrelu.graph.file import read_model
from ort_rrelu.graph.nodes import all_nodes, label

__all__ = ["info"]

_NOT_INSTALLED = "not installed: pip install 'ort-rrelu[cpu]'"
_EXAMPLE = terminal.example("ort-rrelu info model.onnx")
# An exporter's seeds have 19 digits: with more columns than these, 80 characters leave no room for names.
_COLUMNS: dict[str, tuple[str, ...]] = {
    schema.RRELU: ("lower", "upper", "training", "seed", "step", "noise"),
    schema.RRELU_GRAD: (),
}


@app.command(epilog=f"Example: {_EXAMPLE}")
def info(
    model: Annotated[Path | None, typer.Argument(help="An ONNX model.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the installation, or the RRelu and RReluGrad nodes of MODEL and whether they are valid."""
    if model is None:
        facts = _installation()
        terminal.print_json(facts) if as_json else _print_installation(facts)
        return
    facts = _describe(model)
    terminal.print_json(facts) if as_json else _print_model(facts)


def _installation() -> dict[str, Any]:
    return {
        "version": ort_rrelu.__version__,
        "library": library.get_library_path(),
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


def _describe(path: Path) -> dict[str, Any]:
    model = read_model(path)
    check.check_model(model)
    return {
        "model": str(path),
        "ir_version": model.ir_version,
        "opsets": {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        "inputs": {value.name: _type(value.type) for value in model.graph.input},
        "outputs": {value.name: _type(value.type) for value in model.graph.output},
        "nodes": [_node(node) for node in all_nodes(model) if node.domain == schema.DOMAIN],
    }


def _type(value: onnx.TypeProto) -> str:
    if not value.HasField("tensor_type"):
        return (value.WhichOneof("value") or "any").removesuffix("_type")
    tensor = value.tensor_type
    if tensor.elem_type == onnx.TensorProto.UNDEFINED:
        return "any"
    dtype: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    if not tensor.HasField("shape"):
        return f"{dtype} of any shape"
    dims = (d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?") for d in tensor.shape.dim)
    return f"{dtype} [{', '.join(dims)}]"


def _node(node: onnx.NodeProto) -> dict[str, Any]:
    values = {
        "node": label(node),
        "op": node.op_type,
        "name": node.name,
        "output": next(iter(node.output), ""),
    }
    if node.op_type != schema.RRELU:
        return values
    # In a function's body an attribute may be one of the function's own: there is no value to show.
    referring = {a.name: f"@{a.ref_attr_name}" for a in node.attribute if a.ref_attr_name}
    return {
        **values,
        **check.attributes(node),
        **referring,
        "step": len(node.input) > 1 and bool(node.input[1]),
        "noise": len(node.output) > 1 and bool(node.output[1]),
        "reserve": len(node.output) > 2 and bool(node.output[2]),
    }


def _print_model(facts: dict[str, Any]) -> None:
    terminal.print_line(facts["model"], style="bold")
    rows = {
        "IR version": str(facts["ir_version"]),
        "Opsets": ", ".join(f"{domain} {version}" for domain, version in facts["opsets"].items()),
        "Inputs": "\n".join(f"{name}: {kind}" for name, kind in facts["inputs"].items()) or "none",
        "Outputs": "\n".join(f"{name}: {kind}" for name, kind in facts["outputs"].items()),
    }
    terminal.print_facts(rows)
    for op, columns in _COLUMNS.items():
        nodes = [node for node in facts["nodes"] if node["op"] == op]
        if nodes:
            cells = [_cells(node, columns) for node in nodes]
            terminal.print_table(_count(op, nodes), ["node", *columns], cells, right=columns)
    if not facts["nodes"]:
        terminal.print_line(f"\nThere are no nodes of the domain {schema.DOMAIN}.")


def _count(op: str, nodes: list[dict[str, Any]]) -> str:
    number = f"{op}: {len(nodes)} node{'s' * (len(nodes) != 1)}"
    if op != schema.RRELU:
        return number
    return f"{number}, {sum(node['training'] == 1 for node in nodes)} in train mode"


def _cells(node: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    return [node["name"] or f"(output {node['output']})", *(_cell(node[column]) for column in columns)]


def _cell(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else terminal.number(value)
