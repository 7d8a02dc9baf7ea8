"""The options of the tests, the same cases in each run, and what saves much of the time of torch exports."""

from __future__ import annotations

import functools
import gc
import sys
from importlib.util import find_spec

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--cases N`: of the property tests that can run for hours."""
    parser.addoption(
        "--cases", type=int, default=None, metavar="N", help="cases of each long property test; else a few"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Property tests draw the same cases in every run, so that none fails by chance; with --cases, others.

    None has a time limit, since other work of the machine would decide about it.
    """
    if find_spec("hypothesis"):
        from hypothesis import settings

        ours = settings(deadline=None)
        if config.getoption("--cases") is None:
            ours = settings(ours, derandomize=True, database=None)
        settings.register_profile("ours", ours)
        settings.load_profile("ours")


def pytest_collection_finish() -> None:
    """What the tests imported is never garbage: walking it was a fourth of the time of torch exports."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    _parse_onnxscript_once()


def _parse_onnxscript_once() -> None:
    """torch.onnx.export parses the source of 500 functions of onnxscript in each call."""
    if "torch" not in sys.modules or not find_spec("onnxscript"):
        return
    from onnxscript.values import TracedOnnxFunction

    parse = vars(TracedOnnxFunction)["function_ir"].fget
    TracedOnnxFunction.function_ir = property(functools.cache(parse))  # type: ignore[assignment]
