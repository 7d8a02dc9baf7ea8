"""onnxruntime-extensions, imported without what its import does to the process."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ort_rrelu.errors import MissingPackageError

__all__ = ["import_extensions"]

# 0.15 sets it for protobuf, which has read it by then; processes that are started later would read it, and
# their messages would take a hundred times as long.
_VARIABLE = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"


def import_extensions(module: str = "onnxruntime_extensions") -> Any:
    """The package, or a module of it; the environment stays as it is.

    Raises MissingPackageError when it is not installed.
    """
    before = os.environ.get(_VARIABLE)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            "onnxruntime-extensions, which images need, is not installed: pip install onnxruntime-extensions"
        ) from error
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
