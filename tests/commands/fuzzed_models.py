"""What hypothesis draws for the tools on models: valid models, with damaged structure and bytes."""

from __future__ import annotations

import contextlib
import functools

import onnx
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from tests.commands.damages import DAMAGES
from tests.commands.valid_models import SEEDS

_IN_BYTES = [b"act", b"RRelu", b"ort_rrelu", b"step", b"noise", b"training", b"lower", b"own", b"Inner"]


def _not_utf8(draw: st.DrawFn, data: bytes) -> bytes:
    """A name that is no text: of the same length, so that the rest of the file stays whole."""
    name = draw(st.sampled_from(_IN_BYTES))
    return data.replace(name, b"\xff" + name[1:])


def _other_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    damaged = bytearray(data)
    for place, value in draw(
        st.lists(st.tuples(st.integers(0, max(len(data) - 1, 0)), st.integers(0, 255)), max_size=3)
    ):
        if place < len(damaged):
            damaged[place] = value
    return bytes(damaged[: draw(st.integers(0, len(damaged)))] if draw(st.booleans()) else damaged)


_serialized = functools.cache(lambda name: SEEDS[name].SerializeToString())


@st.composite
def damaged_models(draw: st.DrawFn) -> bytes:
    """The bytes of a model, with up to four damages of its structure, then perhaps of its bytes."""
    if draw(st.integers(0, 49)) == 0:
        return draw(st.binary(max_size=200))
    model = onnx.ModelProto.FromString(_serialized(draw(st.sampled_from(sorted(SEEDS)))))
    for damage in draw(st.lists(st.sampled_from(DAMAGES), max_size=4)):
        with contextlib.suppress(DecodeError):  # bodies in one another, deeper than protobuf reads
            damage(draw, model)
    data = bytes(model.SerializeToString())
    match draw(st.integers(0, 19)):
        case 0:
            return _not_utf8(draw, data)
        case 1:
            return _other_bytes(draw, data)
    return data
