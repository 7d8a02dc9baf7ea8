"""Names that a server can carry: a model's is part of a URL and a folder, MLServer's go into headers."""

from __future__ import annotations

import re

from ort_rrelu.errors import InvalidValueError

__all__ = ["check_name", "fits_header"]

_HEADER = re.compile(r"([!-~]([ -~]*[!-~])?)?")


def check_name(name: str) -> str:
    """The model's name. Raises InvalidValueError for one that a URL or a folder cannot have."""
    if name in ("", ".", "..") or "/" in name or not name.isprintable():
        raise InvalidValueError(
            f"model name {name!r}: it must be printable, without / and not empty, . or .."
        )
    return name


def fits_header(value: str) -> bool:
    """Whether a header of HTTP and of gRPC can have the value: ASCII, without spaces at its ends."""
    return _HEADER.fullmatch(value) is not None
