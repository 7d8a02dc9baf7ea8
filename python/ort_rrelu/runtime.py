"""ONNX Runtime with the library registered."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import EncodeError

from ort_rrelu import library
from ort_rrelu.arguments import as_seed
from ort_rrelu.errors import InvalidTypeError, InvalidValueError, LibraryError, MissingPackageError
from ort_rrelu.graph.check import check_model
from ort_rrelu.graph.file import new_model, read_as_written, read_model
from ort_rrelu.graph.recognition import with_our_names

try:
    import onnxruntime
except ImportError as error:
    raise MissingPackageError(
        "onnxruntime is not installed: pip install 'ort-rrelu[cpu]', or 'ort-rrelu[gpu]'"
    ) from error


_REGISTERED, _SEED = "ort_rrelu.registered", "ort_rrelu.seed"


def _check_version() -> None:
    oldest = library.build_info()["onnxruntime_oldest"]
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < tuple(map(int, oldest.split("."))):
        raise LibraryError(
            f"ort_rrelu does not run on onnxruntime {onnxruntime.__version__}: it needs {oldest} or newer"
        )


def _entry(options: onnxruntime.SessionOptions, name: str) -> str | None:
    try:
        value: str = options.get_session_config_entry(name)
    except RuntimeError:  # ONNX Runtime's way to say that there is none
        return None
    return value


def register(
    session_options: onnxruntime.SessionOptions | None = None, *, seed: int | None = None
) -> onnxruntime.SessionOptions:
    """Register the library with session options; registering the same options again does nothing.

    Args:
        session_options: changed in place; None makes new ones.
        seed: 0 .. 2^63 - 1. Train nodes without a seed of their own (seed < 0) then get one derived from it
            and from the name of their first output, so that every session repeats. None: fresh entropy for
            each session, and on the CPU again in each forked child.

    Returns:
        The session options.

    Raises:
        LibraryError: the library cannot be loaded, or ONNX Runtime is too old.
        InvalidTypeError, InvalidValueError: session_options or seed is not allowed, or the options are
            registered with another seed already.
    """
    _check_version()
    options = onnxruntime.SessionOptions() if session_options is None else session_options
    if not isinstance(options, onnxruntime.SessionOptions):
        raise InvalidTypeError(
            f"session_options is of type {type(options).__name__}: it must be an onnxruntime.SessionOptions"
        )
    if seed is not None:
        text = str(as_seed(seed))
        if (registered := _entry(options, _REGISTERED)) not in {None, text}:
            raise InvalidValueError(
                f"seed={text}: these session options are registered with {registered!r} already; "
                "another seed needs session options of its own"
            )
        if _entry(options, _SEED) != text:  # ONNX Runtime warns when an entry is written again
            options.add_session_config_entry(_SEED, text)
    options.register_custom_ops_library(library.get_library_path())
    return options


class InferenceSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime has no types
    """onnxruntime.InferenceSession with the library registered and the model's RRelu nodes checked.

    If tools such as onnx.compose renamed the functions of a portable model, their nodes get our names back,
    so that the kernels run.

    Args:
        path_or_bytes: a model file, or its bytes.
        sess_options: registered in place, as by `register`; None makes new ones.
        seed: as in `register`.
        providers, **kw: as in onnxruntime.InferenceSession.

    Raises:
        ModelFileError: there is no such file.
        InvalidValueError: not an ONNX model, or one of our nodes has an attribute that is misspelt, or whose
            type or value is not allowed; the message names node, attribute and value.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: onnxruntime.SessionOptions | None = None,
        providers: Sequence[str | tuple[str, dict[str, Any]]] | None = None,
        *,
        seed: int | None = None,
        **kw: Any,
    ) -> None:
        if not isinstance(path_or_bytes, bytes):
            path_or_bytes = os.fspath(path_or_bytes)
        self._source: str | bytes | None = None
        self._version = _version(path_or_bytes)
        if not _is_ort_format(path_or_bytes):
            path_or_bytes = self._source = _checked(path_or_bytes)
        super().__init__(path_or_bytes, register(sess_options, seed=seed), providers, **kw)


def model_of(session: onnxruntime.InferenceSession) -> onnx.ModelProto | None:
    """A session's model, read again, with our names.

    None for a plain session, for ONNX Runtime's own format, and for a file that is not any more what it was.

    Raises InvalidValueError when tools cannot walk through it: see check_form.
    """
    source = session._source if isinstance(session, InferenceSession) else None
    if source is None or _version(source) != session._version:
        return None
    return new_model(read_as_written(source))


def has_seed(session: onnxruntime.InferenceSession) -> bool:
    """Was the session made with `seed`, which nodes without one take theirs from?"""
    return _entry(session.get_session_options(), _SEED) is not None


def _checked(path_or_bytes: str | bytes) -> str | bytes:
    """What ONNX Runtime is to open, the same unless nodes of ours need their names back."""
    written = read_as_written(path_or_bytes)
    model = with_our_names(written)
    check_model(model)
    if model is written:
        return path_or_bytes
    if isinstance(path_or_bytes, str):  # weights in other files would be looked for elsewhere
        model = read_model(path_or_bytes, external_data=True)
    try:
        return bytes(model.SerializeToString())
    except EncodeError as error:
        raise InvalidValueError(
            f"{path_or_bytes!r}: its RRelu functions have other names, and it is too large to be changed in "
            "memory: `ort-rrelu portable` writes a file with their own names"
        ) from error


def _version(path_or_bytes: str | bytes) -> tuple[int, ...]:
    """Changes when a file is written again or replaced; empty for bytes, and where there is no file."""
    if isinstance(path_or_bytes, bytes) or not os.path.exists(path_or_bytes):
        return ()
    found = os.stat(path_or_bytes)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_ort_format(path_or_bytes: str | bytes) -> bool:
    """ONNX Runtime's own flatbuffer format, which onnx cannot read."""
    if isinstance(path_or_bytes, bytes):
        head = path_or_bytes[:8]
    elif (path := Path(path_or_bytes)).is_file():
        with path.open("rb") as file:
            head = file.read(8)
    else:
        return False
    return head[4:8] == b"ORTM"
