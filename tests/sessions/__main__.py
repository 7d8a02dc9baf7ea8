"""Runs sessions_in_threads under ThreadSanitizer: python -m tests.sessions PROGRAM."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.sessions import model
from tests.sessions.reports import about, reports

_OPS = str(Path(__file__).resolve().parents[2] / "ops") + os.sep


def _runtime() -> Path:
    """The library of the environment's ONNX Runtime."""
    package = importlib.util.find_spec("onnxruntime")
    assert package is not None
    assert package.origin is not None
    (library,) = Path(package.origin).parent.glob("capi/libonnxruntime.so.*")
    return library


def _log(program: str, folder: Path, *arguments: str, only_first: bool = False) -> str:
    """What the sanitizer wrote; only_first: the program ends with the first report."""
    options = f"log_path={folder}/log exitcode=0 halt_on_error={only_first:d}"
    command = [program, str(_runtime()), str(folder / "model.onnx"), *arguments]
    subprocess.run(command, check=True, env=os.environ | {"TSAN_OPTIONS": options})
    written = [path.read_text("utf-8") for path in folder.glob("log.*")]
    for path in folder.glob("log.*"):
        path.unlink()
    return "".join(written)


def main() -> None:
    """Races of ours end it with their reports; so does a race on purpose that is not reported."""
    (program,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model.write(folder / "model.onnx")
        log = _log(program, folder)
        # Each element that two threads write would be a report.
        on_purpose = _log(program, folder, "same-output", only_first=True)
    ours = about(_OPS, log)
    print(f"{len(reports(log))} reports, {len(ours)} of them about ops/")
    if ours:
        sys.exit("\n".join(ours))
    if not about(_OPS, on_purpose):
        sys.exit("a race on purpose was not found: is the program built with -fsanitize=thread?")


main()
