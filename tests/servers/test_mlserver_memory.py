"""`ort-rrelu serve`: what large requests leave in the server's memory once they are answered."""

from __future__ import annotations

import platform
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.servers.clients import Client
from tests.servers.process_state import state
from tests.servers.processes import wait_until
from tests.servers.servers import ort_rrelu_serve
from tests.serving_models import parse

_REQUEST = 15  # MiB: below 32, which is the largest block that glibc learns to keep
# ONNX Runtime keeps an output; two requests were measured at most. glibc alone keeps seven to twelve.
_MOST = 4 * _REQUEST


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other limits")
def test_answered_requests_are_not_kept(tmp_path: Path) -> None:
    model = parse("g (float[n] x) => (float[n] y) { y = ort_rrelu.RRelu (x) }")
    large = np.ones(_REQUEST * 2**20 // 4, np.float32)
    with ort_rrelu_serve({"m": model}, tmp_path, max_bytes=None) as served:
        process = served.processes["m"]
        with closing(Client(served.endpoints["m"], "grpc")) as client:
            client.infer({"x": ("FP32", large[:1])})
            idle = state(process).mib
            for _ in range(3):
                client.infer({"x": ("FP32", large)})
            # The last answer is sent before the server lets go of it.
            wait_until(lambda: state(process).mib - idle < _MOST, "the server keeps answered requests", 5)
