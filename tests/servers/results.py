"""What a run found, as a file: the command, the date, the versions, and what the run says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ort_rrelu.files import replacing

_FOLDER = Path(__file__).parent / "results"


def write(name: str, command: str, begin: float, found: Mapping[str, Any]) -> None:
    """Write results/NAME.json: for whole runs. begin: of the run, by time.monotonic()."""
    report = {
        "command": command,
        "date": date.today().isoformat(),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "mlserver": version("mlserver"),
        "onnxruntime": version("onnxruntime"),
        **found,
    }
    _FOLDER.mkdir(exist_ok=True)
    with replacing(_FOLDER / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
