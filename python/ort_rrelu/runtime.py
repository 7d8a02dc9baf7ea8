"""ONNX Runtime with the library registered."""

from __future__ import annotations

import functools
import os
from typing import Any

import onnx

from ort_rrelu import installation, library
from ort_rrelu.arguments import as_seed, check_switch
from ort_rrelu.errors import InvalidTypeError, InvalidValueError, LibraryError, MissingPackageError
from ort_rrelu.graph.file import new_model, read_as_written

try:
    import onnxruntime
except ImportError as error:
    raise MissingPackageError(
        "onnxruntime is not installed: pip install 'ort-rrelu[cpu]', or 'ort-rrelu[gpu]'"
    ) from error

from ort_rrelu.opening import Providers, checked, entry

_REGISTERED, _SEED = "ort_rrelu.registered", "ort_rrelu.seed"


@functools.cache
def _check_version() -> None:
    oldest = library.build_info()["onnxruntime_oldest"]
    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < tuple(map(int, oldest.split("."))):
        raise LibraryError(
            f"ort_rrelu does not run on onnxruntime {onnxruntime.__version__}: it needs {oldest} or newer"
        )


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
        if (registered := entry(options, _REGISTERED)) not in {None, text}:
            raise InvalidValueError(
                f"seed={text}: these session options are registered with {registered!r} already; "
                "another seed needs session options of its own"
            )
        if entry(options, _SEED) != text:  # ONNX Runtime warns when an entry is written again
            options.add_session_config_entry(_SEED, text)
    options.register_custom_ops_library(installation.get_library_path())
    return options


class InferenceSession(onnxruntime.InferenceSession):  # type: ignore[misc]  # onnxruntime has no types
    """onnxruntime.InferenceSession with the library registered and the model's RRelu nodes checked.

    If tools such as onnx.compose renamed the functions of a portable model, their nodes get our names back,
    so that the kernels run.

    Args:
        path_or_bytes: a model file, or its bytes.
        sess_options: registered in place, as by `register`; None makes new ones.
        seed: as in `register`.
        lower_eval: True hands eval-mode RRelu nodes of float to ONNX Runtime as LeakyRelu, which gives the
            same bits and which it can fuse and fold. It does so where Y alone is read of a node, the mean
            slope is positive, the node is in no function of the model's own, and the model does not show that
            the kernel would refuse it. The model stays as it is where graph optimization is off,
            optimized_model_filepath or session.set_denormal_as_zero is set, or another provider than those of
            the CPU and CUDA is asked for. So it does where its weights are in other files, unless ONNX
            Runtime is 1.21 or newer, and sess_options are None or have the entry
            ort_rrelu.one_model=1: then they tell it the folder, for this model alone. False leaves every
            node to the kernel.
        providers, **kw: as in onnxruntime.InferenceSession.

    Raises:
        ModelFileError: there is no such file.
        InvalidTypeError: lower_eval is not a bool.
        InvalidValueError: not an ONNX model, or one of our nodes has an attribute that is misspelt or given
            twice, or whose type or value is not allowed; the message names node, attribute and value.
    """

    def __init__(
        self,
        path_or_bytes: str | os.PathLike[str] | bytes,
        sess_options: onnxruntime.SessionOptions | None = None,
        providers: Providers | None = None,
        *,
        seed: int | None = None,
        lower_eval: bool = True,
        **kw: Any,
    ) -> None:
        check_switch("lower_eval", lower_eval)
        if not isinstance(path_or_bytes, bytes):
            path_or_bytes = os.fspath(path_or_bytes)
        self._version = _version(path_or_bytes)
        with checked(path_or_bytes) as taken:
            source = taken.source
            self._source = None if taken.model is None else source
            options = register(sess_options, seed=seed)
            fresh = sess_options is None
            handed = taken.lowered(options, providers, fresh=fresh) if lower_eval else source
        del taken  # before ONNX Runtime makes a copy of its own
        super().__init__(handed, options, providers, **kw)
        if handed is not source:
            # ONNX Runtime's class keeps what it was given for a session that it makes again.
            self._model_path = source if isinstance(source, str) else None
            self._model_bytes = source if isinstance(source, bytes) else None


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
    return entry(session.get_session_options(), _SEED) is not None


def _version(path_or_bytes: str | bytes) -> tuple[int, ...]:
    """Changes when a file is written again or replaced; empty for bytes, and where there is no file."""
    if isinstance(path_or_bytes, bytes) or not os.path.exists(path_or_bytes):
        return ()
    found = os.stat(path_or_bytes)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
