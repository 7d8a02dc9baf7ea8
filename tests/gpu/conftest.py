"""What a machine has too few GPUs for is left out: tests with the marker `gpus`."""

from __future__ import annotations

import pytest
import torch


def _wanted(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("gpus")
    return marker is None or not torch.cuda.is_available() or marker.args[0] <= torch.cuda.device_count()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselected, so that the summary counts them; a skip would mean that something is missing."""
    left_out = [item for item in items if not _wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if _wanted(item)]
