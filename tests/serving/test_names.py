"""Names of models: parts of URLs and of folders, and in MLServer of headers."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from ort_rrelu.errors import InvalidValueError
from ort_rrelu.serving.errors import check_name, fits_header
from ort_rrelu.serving.triton import configuration, write_repository
from tests.serving_models import MODELS

_BAD = ["", ".", "..", "a/b", "../a", "/a", "a\nb", "a\0b"]


@pytest.mark.parametrize("name", ["net", "my net", "net.v2", "\u00e9t\u00e9", "..a"])
def test_good_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", _BAD)
def test_bad_name(name: str) -> None:
    with pytest.raises(InvalidValueError, match="model name"):
        check_name(name)


@pytest.mark.parametrize("name", _BAD)
def test_triton_writes_nothing_under_a_bad_name(tmp_path: Path, name: str) -> None:
    onnx.save(MODELS["eval"], tmp_path / "m.onnx")
    with pytest.raises(InvalidValueError, match="model name"):
        configuration(MODELS["eval"], name)
    with pytest.raises(InvalidValueError, match="model name"):
        write_repository(tmp_path / "m.onnx", tmp_path / "repository", name, "")
    assert [path.name for path in tmp_path.rglob("*")] == ["m.onnx"]


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("", True),
        ("a", True),
        ("a b", True),
        ("\u00e9", False),
        (" a", False),
        ("a ", False),
        ("a\r\nb: c", False),
    ],
)
def test_header(value: str, fits: bool) -> None:
    assert fits_header(value) is fits
