"""Which of ThreadSanitizer's reports are about code of ours."""

from __future__ import annotations

import pytest

from tests.sessions.reports import about, reports

_OPS = "/home/project/ops/"
_OURS = f"#0 Compute {_OPS}ort/kernels.cc:39 (sessions_in_threads+0x1)"
_LIBRARY = "#0 std::map::insert /usr/include/c++/12/bits/stl_map.h:780 (sessions_in_threads+0x2)"
_COPY = "#0 memcpy tsan_interceptors.inc:827 (libtsan.so.2+0x3)"
_RUNTIME = "#0 <null> <null> (libonnxruntime.so.1.32.0+0x4)"
_TEST = "#0 RunOnce /home/project/tests/sessions/sessions.cc:127 (sessions_in_threads+0x5)"
_LINE = "=" * 18


def _stack(*frames: str) -> str:
    return "\n".join(f"    #{number}{frame[2:]}" for number, frame in enumerate(frames))


def _report(first: str, second: str, origin: str = _TEST) -> str:
    return (
        f"{_LINE}\nWARNING: ThreadSanitizer: data race (pid=7)\n  Write of size 8 at 0x7b by thread T6:\n"
        f"{first}\n\n  Previous read of size 8 at 0x7b by thread T5:\n{second}\n\n"
        f"  Location is heap block of size 56 at 0x7b allocated by thread T5:\n{_stack(origin)}\n\n"
        f"  Thread T5 (tid=9, running) created by main thread at:\n{_stack(origin)}\n\n"
        f"SUMMARY: ThreadSanitizer: data race\n{_LINE}\n"
    )


@pytest.mark.parametrize(
    "stack",
    [
        _stack(_OURS, _RUNTIME, _TEST),
        _stack(_LIBRARY, _OURS),  # inlined or not: it is in our program
        _stack(_COPY, _OURS),  # called by us
    ],
)
def test_what_code_of_ours_does_counts(stack: str) -> None:
    other = _stack(_RUNTIME, _TEST)
    assert len(about(_OPS, _report(stack, other))) == 1
    assert len(about(_OPS, _report(other, stack))) == 1


@pytest.mark.parametrize(
    "stack",
    [
        _stack(_COPY, _RUNTIME, _OURS),  # ONNX Runtime's, which we called
        _stack(_TEST),
        _stack(_RUNTIME),
    ],
)
def test_what_others_do_does_not(stack: str) -> None:
    log = _report(stack, stack, origin=_OURS)
    assert len(reports(log)) == 1
    assert not about(_OPS, log)


def test_each_report_by_itself() -> None:
    ours, theirs = _report(_stack(_OURS), _stack(_OURS)), _report(_stack(_RUNTIME), _stack(_RUNTIME))
    log = theirs + ours + theirs + ours
    assert len(reports(log)) == 4
    assert len(about(_OPS, log)) == 2
