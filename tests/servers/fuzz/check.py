"""Whether a reply is what its request must get; a fault is a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from ort_rrelu.arguments import Array
from tests.servers.fuzz.exchange import Answered, Reply, grpc_answer, http_answer
from tests.servers.fuzz.grpc_cases import INFER, GrpcCase
from tests.servers.fuzz.http_cases import HttpCase
from tests.servers.fuzz.models import Answer, Model
from tests.servers.fuzz.oracle import Expected, Judgement, Refusal

_NO_VERSION = ""  # `ort-rrelu serve` has one model, and no versions of it


def http_fault(case: HttpCase, name: str, model: Model, reply: Reply) -> str | None:
    """None for a reply that is right."""
    if case.broken:
        return f"status {reply.status}: {reply.reason[:300]}" if reply.status >= 500 else None
    reason = reply.reason
    if reply.status != 200:
        try:
            reason = json.loads(reply.body)["error"]
        except (ValueError, KeyError, TypeError):
            return f"status {reply.status} without a reason: {reply.body[:300]!r}"
    return _fault(case.judgement, name, model, reply, reason, http_answer)


def grpc_fault(case: GrpcCase, name: str, model: Model, reply: Reply) -> str | None:
    """None for a reply that is right."""
    if case.method != INFER:
        return f"{case.method}: {reply.reason[:300]}" if reply.status >= 500 else None
    return _fault(case.judgement, name, model, reply, reply.reason, grpc_answer)


def _fault(
    judgement: Judgement,
    name: str,
    model: Model,
    reply: Reply,
    reason: str,
    read: Callable[[Reply], Answered],
) -> str | None:
    told = f"status {reply.status}: {reason[:300]!r}"
    if isinstance(judgement, Refusal):
        return None if _refused(judgement, reply.status, reason) else f"{told}; expected {judgement}"
    if reply.status != 200:
        allowed = judgement is None and 400 <= reply.status < 500 and reason
        return None if allowed else f"{told}; expected an answer"
    try:
        found = read(reply)
    except (ValueError, KeyError, TypeError) as error:
        return f"no answer of the protocol ({error!r}): {reply.body[:300]!r}"
    if judgement is None:
        return None if set(found.outputs) <= set(model.outputs) else f"outputs {list(found.outputs)}"
    names, expected = (found.model, found.version, found.id), (name, _NO_VERSION, judgement.id)
    if names != expected:
        return f"model, version and id: {names}, expected {expected}"
    if judgement.binary is not None and found.binary != judgement.binary:
        return f"as bytes: {sorted(found.binary)}, expected {sorted(judgement.binary)}"
    return answer_fault(found.outputs, judgement)


def _refused(expected: Refusal, status: int, reason: str) -> bool:
    return bool(status in expected.statuses and reason and any(part in reason for part in expected.reasons))


def answer_fault(found: Answer, expected: Expected) -> str | None:
    """None if each output has the bits that it must have."""
    if list(found) != list(expected.answer):
        return f"outputs {list(found)}, expected {list(expected.answer)}"
    for name, wanted in expected.answer.items():
        if not _same(found[name], wanted):
            return f"{name} is {found[name].tolist()}, expected {wanted.tolist()}"
    return None


def _same(found: Array, wanted: Array) -> bool:
    """The same bits; a NaN equals any NaN."""
    if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(found, wanted))
    same_sign = np.isnan(wanted) | (np.signbit(found) == np.signbit(wanted))
    return bool(np.array_equal(found, wanted, equal_nan=True) and same_sign.all())
