"""Scripts of the build and of CI, which are in no package."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.documentation import ROOT


def load(path: str) -> ModuleType:
    """A script by its path from the root."""
    spec = importlib.util.spec_from_file_location("script", ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
