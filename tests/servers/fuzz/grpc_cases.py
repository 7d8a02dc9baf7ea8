"""Calls over gRPC: whole messages, changed ones, changed bytes, and other methods."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.servers.fuzz.models import Model
from tests.servers.fuzz.mutations import changed_bytes, mutated_message
from tests.servers.fuzz.oracle import Judgement, judge_message
from tests.servers.fuzz.whole import arrays_of, message_of

INFER = "ModelInfer"


@dataclass(frozen=True)
class GrpcCase:
    """A method, its message as bytes, metadata, and what it must get; other methods may refuse or answer."""

    kind: str
    message: bytes
    judgement: Judgement
    method: str = INFER
    metadata: tuple[tuple[str, str], ...] = ()


def grpc_case(rng: random.Random, name: str, model: Model) -> GrpcCase:
    """One by chance, for the server of the model of that name."""
    return rng.choice(_KINDS)(rng, name, model)


def _infer(kind: str, name: str, model: Model, message: bytes) -> GrpcCase:
    return GrpcCase(kind, message, judge_message(model, name, message))


def _whole(rng: random.Random, name: str, model: Model) -> GrpcCase:
    message = message_of(rng, name, model, arrays_of(rng, model))
    case = _infer("whole", name, model, message.SerializeToString())
    odd = (("content-type", "a"), ("x", "v" * 3000), ("request-id", "\u007e"), ("triton-x", ""))
    metadata = (rng.choice(odd[1:]),) if rng.random() < 0.2 else ()
    return GrpcCase(case.kind, case.message, case.judgement, metadata=metadata)


def _message(rng: random.Random, name: str, model: Model) -> GrpcCase:
    message = message_of(rng, name, model, arrays_of(rng, model))
    mutated_message(rng, model, message)
    return _infer("message", name, model, message.SerializeToString())


def _bytes(rng: random.Random, name: str, model: Model) -> GrpcCase:
    data = message_of(rng, name, model, arrays_of(rng, model)).SerializeToString()
    return _infer("bytes", name, model, changed_bytes(rng, data))


def _noise(rng: random.Random, name: str, model: Model) -> GrpcCase:
    return _infer("noise", name, model, rng.randbytes(rng.choice((0, 1, 10, 200))))


def _large(rng: random.Random, name: str, model: Model) -> GrpcCase:
    """Near the limits of bytes and of values."""
    message = message_of(rng, name, model, arrays_of(rng, model))
    if rng.random() < 0.5:
        message.raw_input_contents.append(bytes(rng.choice((2**16, 2**18 - 2000, 2**18))))
    else:
        message.inputs[0].contents.fp32_contents.extend([1.0] * rng.choice((1000, 1001, 20_000)))
    return _infer("large", name, model, message.SerializeToString())


_METHODS = (
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelStreamInfer"),
    *("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload", "ModelConfig", "None", "a/b"),
)


def _other_method(rng: random.Random, name: str, model: Model) -> GrpcCase:
    """With a message of its own (a name is its first field), of ModelInfer, or none at all."""
    named = b"\n" + bytes([len(name)]) + name.encode()
    data = rng.choice((named, b"", changed_bytes(rng, named), rng.randbytes(20), bytes(70_000)))
    return GrpcCase("other", data, None, rng.choice(_METHODS))


_KINDS: tuple[Callable[[random.Random, str, Model], GrpcCase], ...] = (
    *(_whole, _whole, _message, _message, _bytes, _noise, _large, _other_method),
)
