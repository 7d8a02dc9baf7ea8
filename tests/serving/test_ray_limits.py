"""A body that is too large; `mlserver start` has no limit, test_mlserver_serve.py is about the verb's."""

from __future__ import annotations

from tests.serving.conftest import Connect
from tests.serving.test_faults import check_oversized


def test_oversized_request(connect: Connect, transport: str) -> None:
    check_oversized(connect("eval", transport))
