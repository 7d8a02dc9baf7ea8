"""What a run found, as a file: the command and the date, the p-values, and what they say together."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from ort_rrelu import library
from ort_rrelu.files import replacing
from tests.statistics.stream import Value
from tests.statistics.verdict import Verdict

RESULTS = Path(__file__).parent / "results"


def write(path: Path, command: str, begin: float, values: Sequence[Value], verdict: Verdict) -> None:
    """begin: of the run, by time.monotonic()."""
    info = library.build_info()
    report = {
        "command": command,
        "date": date.today().isoformat(),
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "library": info["version"],
        "instruction_set": info["instruction_set"],
        "verdict": asdict(verdict),
        "values": [asdict(value) for value in values],
    }
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
