"""What an ONNX Runtime is too old for is left out: tests with the marker `onnxruntime`."""

from __future__ import annotations

import onnxruntime
import pytest


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")[:2]))


def _wanted(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("onnxruntime")
    return marker is None or _version(marker.args[0]) <= _version(onnxruntime.__version__)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselected, so that the summary counts them; a skip would mean that something is missing."""
    left_out = [item for item in items if not _wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _wanted(item)]
