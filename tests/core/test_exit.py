"""The end of a Python that has imported the package: onnx keeps what was registered with it beyond that."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A handler that is registered before the import runs last.
_FIND = """
import atexit, onnx
print_schemas = lambda: print([
    onnx.defs.get_schema(op, 1, "ort_rrelu").doc.split()[0]
    for op in ("RRelu", "RReluGrad") if onnx.defs.has(op, 1, "ort_rrelu")
])
atexit.register(print_schemas)
"""
_FOREIGN = """
onnx.defs.register_schema(onnx.defs.OpSchema("RRelu", "ort_rrelu", 1, "Somebody's own."))
"""


def _printed(code: str) -> str:
    """What Python prints until its end, which must be a good one."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


@pytest.mark.parametrize(
    "use",
    [
        "",
        "import threading; threading.Thread(target=ort_rrelu.schema.schemas).start()",
        "onnx.defs.deregister_schema('RRelu', 1, 'ort_rrelu')",
        "import importlib; importlib.reload(ort_rrelu.schema)",
    ],
    ids=["plain", "a thread", "one is gone already", "reloaded"],
)
def test_python_ends_without_our_schemas(use: str) -> None:
    assert _printed(f"{_FIND}\nimport ort_rrelu\n{use}") == "[]"


def test_a_schema_of_somebody_else_stays() -> None:
    """One that was there before ours, and one that has taken its place."""
    assert _printed(f"{_FIND}{_FOREIGN}import ort_rrelu") == '["Somebody\'s"]'
    replaced = "onnx.defs.deregister_schema('RRelu', 1, 'ort_rrelu')"
    assert _printed(f"{_FIND}import ort_rrelu\n{replaced}{_FOREIGN}") == '["Somebody\'s"]'
