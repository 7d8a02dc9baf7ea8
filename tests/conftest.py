"""The options of the tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--cases N`: of the property tests that can run for hours."""
    parser.addoption(
        "--cases", type=int, default=None, metavar="N", help="cases of each long property test; else a few"
    )
