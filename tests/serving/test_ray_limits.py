"""Bodies that are too large, messages that contradict themselves.

`mlserver start` has neither guard: test_mlserver_serve.py is about those of `ort-rrelu serve`.
"""

from __future__ import annotations

from tests.serving.conftest import Connect
from tests.serving.servers import Served
from tests.serving.test_faults import check_oversized, check_raw_messages


def test_oversized_request(connect: Connect, transport: str) -> None:
    check_oversized(connect("eval", transport))


def test_raw_messages(served: Served) -> None:
    check_raw_messages(served.endpoints["eval"])
