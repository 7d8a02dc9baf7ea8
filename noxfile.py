"""Environments that `make test` lacks: other ONNX Runtimes; Paddle; TensorFlow; the wheel alone.

`nox` runs every session, `nox -s wheel` one. The wheel is built once, when it is older than its sources.
CI runs those tagged "alone" one after the other; then those tagged "first" at the same time as those tagged
"beside": in both one process does most of the work. It does not wait for what has another tag.
The sessions are in tests/environments.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"  # which installs in a small part of pip's time
nox.options.stop_on_first_error = False

sys.path.insert(0, str(Path(__file__).parent))
for subject in ("core", "portable", "frameworks", "servers", "shipped", "native"):
    importlib.import_module(f"tests.environments.{subject}")
