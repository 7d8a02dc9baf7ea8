"""Training in ONNX Runtime.

Two roads, each loaded on first access, since neither needs what the other does: `generate_artifacts`,
`load_artifacts` and `save_checkpoint` for onnxruntime-training 1.19.2; `export_step` and `Trainer`, one graph
with the whole step, for today's onnxruntime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ort_rrelu.training.artifacts import generate_artifacts as generate_artifacts
    from ort_rrelu.training.export import export_step as export_step
    from ort_rrelu.training.session import Artifacts as Artifacts
    from ort_rrelu.training.session import load_artifacts as load_artifacts
    from ort_rrelu.training.session import save_checkpoint as save_checkpoint
    from ort_rrelu.training.trainer import Trainer as Trainer

__all__ = ["Artifacts", "Trainer", "export_step", "generate_artifacts", "load_artifacts", "save_checkpoint"]

# Name -> the file that has it, which has another name: importing a file binds its own name here.
_LAZY = {
    "Artifacts": "session",
    "Trainer": "trainer",
    "export_step": "export",
    "generate_artifacts": "artifacts",
    "load_artifacts": "session",
    "save_checkpoint": "session",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
