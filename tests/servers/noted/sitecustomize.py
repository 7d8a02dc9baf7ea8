"""Python imports this first where its folder is on PYTHONPATH: a server then notes the rows of each run."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_MODULE = "ort_rrelu.serving.model"


class _Finder(MetaPathFinder):
    """Finds that module alone: a process that serves nothing does not import it for this."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def execute_and_wrap(module: ModuleType) -> None:
            execute(module)
            _wrap(module.ServedModel)

        loader.exec_module = execute_and_wrap
        return spec


def _wrap(served: Any) -> None:
    run = served.run

    def noted(self: Any, arrays: dict[str, Any]) -> Any:
        line = f"{len(next(iter(arrays.values())))}\n"
        file = os.open(os.environ["NOTED_RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
        return run(self, arrays)

    served.run = noted


if "NOTED_RUNS" in os.environ:
    sys.meta_path.insert(0, _Finder())
