"""Strings through MLServer; tests/serving/test_requests.py has those that Ray Serve reads itself."""

from __future__ import annotations

import numpy as np

from tests.servers.conftest import Connect


def test_strings(connect: Connect, transport: str) -> None:
    x = np.array([["", "a", "grüß"]], object)
    answer = connect("other", transport).infer({"x_string": ("BYTES", x)})["y_string"]
    assert [v.decode() if isinstance(v, bytes) else v for v in answer.ravel()] == list(x.ravel())
