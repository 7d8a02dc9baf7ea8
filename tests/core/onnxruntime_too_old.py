"""On an ONNX Runtime that is too old: run by its nox session alone, so its name hides it from pytest."""

from __future__ import annotations

import onnxruntime
import pytest

import ort_rrelu

_VERSION = onnxruntime.__version__


def test_register() -> None:
    expected = rf"^ort_rrelu does not run on onnxruntime {_VERSION}: it needs 1\.17 or newer$"
    with pytest.raises(OSError, match=expected) as caught:
        ort_rrelu.register()
    assert isinstance(caught.value, ort_rrelu.Error)


def test_library_registered_without_python() -> None:
    expected = rf"ort_rrelu does not run on ONNX Runtime {_VERSION}: it needs 1\.17 or newer"
    with pytest.raises(Exception, match=expected):
        onnxruntime.SessionOptions().register_custom_ops_library(ort_rrelu.get_library_path())
