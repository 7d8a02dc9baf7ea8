"""What a server answers to a request that it cannot serve, and which names it can carry."""

from __future__ import annotations

import re

from ort_rrelu.errors import InvalidValueError

# gRPC sends a reason as a header of HTTP/2, and clients refuse headers beyond 8 KiB; percent signs make three
# bytes of each byte that is not ASCII.
_LONGEST = 600
_LONGEST_VALUE = 100
_LONGEST_LIST = 8


class RequestError(InvalidValueError):
    """A request that cannot be answered; `status` is the HTTP status that says so."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(_cut(reason, _LONGEST))
        self.status = status


def shown(value: object) -> str:
    """What a client sent, as a reason repeats it: long texts and lists are cut, with their length."""
    if isinstance(value, list | tuple):
        more = f", ... of {len(value)}" if len(value) > _LONGEST_LIST else ""
        return f"[{', '.join(map(shown, value[:_LONGEST_LIST]))}{more}]"
    if isinstance(value, int) and value.bit_length() > 128:  # Python refuses to print thousands of digits
        return f"an integer of {value.bit_length()} bits"
    return _cut(str(value), _LONGEST_VALUE)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}... (of {len(text)} characters)"


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
