"""The C++ tests: built with CMake, run by CTest."""

from __future__ import annotations

from tests.cpp.build import build, run


def test_ctest() -> None:
    """One test for all, so that pytest-xdist never builds twice in one folder."""
    run("ctest", "--test-dir", build(), "--no-tests=error", "--output-on-failure")
