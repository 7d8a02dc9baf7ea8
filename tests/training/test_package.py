"""ort_rrelu.training where onnxruntime-training is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ort_rrelu import training
from ort_rrelu.errors import MissingPackageError
from tests.onnx_models import rrelu_model

_CALLS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "generate_artifacts": ("generate_artifacts", (rrelu_model(),)),
    "load_artifacts": ("load_artifacts", (".",)),
    "save_checkpoint": ("save_checkpoint", (None, "checkpoint")),
}


@pytest.mark.parametrize(("name", "arguments"), _CALLS.values(), ids=_CALLS)
def test_the_package_is_missing(
    name: str, arguments: tuple[Any, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    advice = r"pip install onnxruntime-training-cpu==1\.19\.2, .* Python 3\.11 and an environment of its own"
    with pytest.raises(MissingPackageError, match=advice):
        getattr(training, name)(*arguments)
    assert not list(tmp_path.iterdir())


def test_the_package_and_its_names_are_there_without_it() -> None:
    assert {name for name, _ in _CALLS.values()} <= set(dir(training))
    code = (
        "import sys, ort_rrelu.training; "
        "assert not {'torch', 'onnxruntime'} & set(sys.modules), 'loaded too early'; "
        "ort_rrelu.training.generate_artifacts; "
        "assert not {'torch', 'onnxruntime'} & set(sys.modules), 'loaded before the call'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'generate'"):
        _ = training.generate
