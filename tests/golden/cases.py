"""What the golden files hold, and where: written by make.py and make_rows.py, read by the tests."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.onnx_models import Array

GOLDEN = Path(__file__).parent
SEED_OF_SESSIONS = 5
STEP_MODEL, CHECKPOINT = "step.onnx", "checkpoint.safetensors"


class Case(NamedTuple):
    """A model with inputs by name, and the outputs that the kernels gave, in order, run after run.

    kind: the archive. runs: of one session; those of a model that counts its own runs differ.
    """

    kind: str
    name: str
    model: bytes
    feeds: dict[str, Array]
    runs: list[list[Array]]


def write_archive(name: str, files: Mapping[str, bytes]) -> None:
    """The same bytes at every call: the entries have no date."""
    with zipfile.ZipFile(GOLDEN / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for entry, data in files.items():
            archive.writestr(zipfile.ZipInfo(entry), data, zipfile.ZIP_DEFLATED)


def entries(archive: str) -> list[str]:
    """The names in an archive."""
    with zipfile.ZipFile(GOLDEN / archive) as opened:
        return opened.namelist()


def file(archive: str, entry: str) -> bytes:
    """One entry of an archive."""
    with zipfile.ZipFile(GOLDEN / archive) as opened:
        return opened.read(entry)


def write_arrays(values: Mapping[str, Array]) -> bytes:
    """As an .npz file."""
    written = io.BytesIO()
    named: dict[str, Any] = dict(values)
    np.savez(written, allow_pickle=False, **named)
    return written.getvalue()


def arrays(archive: str, entry: str) -> dict[str, Array]:
    """An .npz file in an archive."""
    return dict(np.load(io.BytesIO(file(archive, entry))))


def cases(kind: str) -> Iterator[Case]:
    """Those in an archive of models: NAME.onnx, and NAME.npz with `feed NAME` and `run RUN OUTPUT`."""
    archive = f"{kind}.zip"
    for name in [entry.removesuffix(".onnx") for entry in entries(archive) if entry.endswith(".onnx")]:
        values = arrays(archive, f"{name}.npz")
        feeds = {key.removeprefix("feed "): value for key, value in values.items() if key.startswith("feed ")}
        runs: list[list[Array]] = []
        for key, value in values.items():
            if key.startswith("run "):
                run = int(key.split()[1])
                runs[run:] = runs[run:] or [[]]
                runs[run].append(value)
        yield Case(kind, name, file(archive, f"{name}.onnx"), feeds, runs)
