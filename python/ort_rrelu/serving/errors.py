"""What a server answers to a request that cannot be served."""

from __future__ import annotations

from ort_rrelu.errors import InvalidValueError

__all__ = ["RequestError"]


class RequestError(InvalidValueError):
    """A request that cannot be answered; `status` is the HTTP status that says so."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status
