"""No seed for the process, unless a test sets one."""

from __future__ import annotations

import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def _no_seed() -> None:
    tf.random.set_seed(None)
