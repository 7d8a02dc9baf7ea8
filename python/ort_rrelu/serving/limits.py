"""What a server takes from a client at most: the one home of the limits, their defaults and their check."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ort_rrelu.errors import InvalidValueError

MAX_ID_BYTES = 256

# What an image or a tensor can be at all: libjpeg's sides, PNG's size field, lengths in memory.
_LARGEST = {"max_side": 2**31 - 1, "max_connections": 2**20, "body_timeout": 86_400}
_DEFAULT_LARGEST = 2**40


@dataclass(frozen=True)
class Limits:
    """The limits of one server, all of them above 0.

    max_bytes: of a request's body, and of all bodies that a server works on at the same time.
    max_values: numbers and strings of a JSON body or of typed gRPC contents, and strings of a raw BYTES
    tensor. Raw numbers have only max_bytes.
    max_rows: of a run that requests share; a request that has more runs alone.
    max_pixels, max_side: of an image; the pixels are also those of all images that are decoded at a time.
    max_connections: of HTTP, open at the same time; three quarters of them may wait for an answer.
    body_timeout: seconds that a body may take to come.

    Raises InvalidValueError that names the limit, its value and what is allowed.
    """

    max_bytes: int = 64 * 2**20
    max_values: int = 2**20
    max_rows: int = 1024
    max_pixels: int = 16 * 2**20
    max_side: int = 16_384
    max_connections: int = 256
    body_timeout: float = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int, float) if field.name == "body_timeout" else (int,)
            largest = _LARGEST.get(field.name, _DEFAULT_LARGEST)
            whole = "a number" if float in kinds else "an integer"
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value <= largest:
                raise InvalidValueError(
                    f"{field.name}={value!r}: it must be {whole} above 0, at most {largest}"
                )

    @property
    def max_requests(self) -> int:
        """Requests that may wait for an answer: some connections are left for health checks."""
        return max(self.max_connections * 3 // 4, 1)
