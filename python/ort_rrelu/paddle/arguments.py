"""The arguments of export, checked before any work."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import paddle

from ort_rrelu.arguments import check_switch
from ort_rrelu.errors import InvalidTypeError, InvalidValueError

__all__ = [
    "as_opset_version",
    "check_options",
    "check_path",
    "check_variables",
]

# The oldest of a portable model.
_OPSET_VERSION = 18
_OPSET_VERSIONS = range(7, 22)  # Paddle2ONNX's
_OPTIONS = frozenset(
    {
        "auto_upgrade_opset",
        "dist_prim_all",
        "enable_experimental_op",
        "enable_onnx_checker",
        "enable_optimize",
        "verbose",
    }
)


def check_path(f: Any) -> None:
    """Raise InvalidTypeError unless `f` is a path, or None."""
    if f is not None and not isinstance(os.fspath(f) if isinstance(f, os.PathLike) else f, str):
        raise InvalidTypeError(f"f={f!r}: it must be the path of a file, as a str or a pathlib.Path, or None")


def as_opset_version(version: Any) -> int:
    """The opset version to convert to; None is the default."""
    if version is None:
        return _OPSET_VERSION
    first, last = _OPSET_VERSIONS[0], _OPSET_VERSIONS[-1]
    if not isinstance(version, Integral) or isinstance(version, bool):
        raise InvalidTypeError(
            f"opset_version={version!r}: it must be an integer from {first} to {last}, or None"
        )
    if version not in _OPSET_VERSIONS:
        raise InvalidValueError(f"opset_version={version}: it must be from {first} to {last}")
    return int(version)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InvalidValueError or InvalidTypeError unless they are options of paddle2onnx.export."""
    if unknown := options.keys() - _OPTIONS:
        raise InvalidValueError(
            f"{', '.join(sorted(unknown))}: not an option; allowed are {', '.join(sorted(_OPTIONS))}"
        )
    for name, value in options.items():
        check_switch(name, value)


def check_variables(program: Any, **variables: Sequence[Any]) -> None:
    """Raise InvalidTypeError or InvalidValueError unless each is a list of variables of the program."""
    for name, values in variables.items():
        # Iterating over a variable instead would not end.
        if not isinstance(values, list | tuple):
            raise InvalidTypeError(f"{name} is a {type(values).__name__}: it must be a list of variables")
        for i, value in enumerate(values):
            if not isinstance(value, paddle.pir.Value):
                raise InvalidTypeError(f"{name}[{i}]={value!r}: it must be a variable of the program")
            defining = value.get_defining_op()
            if defining is None or defining.get_parent_block() != program.global_block():
                raise InvalidValueError(
                    f"{name}[{i}] is a variable of another program, or of a body in it: it must be one of "
                    "the outermost level of the program that is exported"
                )
