"""Tags: what an rrelu op of a Paddle program says of itself, beyond its attributes.

Paddle sets is_test on saving, and of foreign attributes a saved program keeps only `struct_name`, the path of
layers that an op was called through. So tags are appended to it: "/Net/RReLU/#ort_rrelu:training=1".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paddle

__all__ = ["Tags", "carrying_modes", "set_seed"]

_ATTRIBUTE = "struct_name"
_MARK = "#ort_rrelu:"


@dataclass(frozen=True)
class Tags:
    """What a struct_name says.

    scope: the layers around the op, outermost first, without the numbers that Paddle counts up from one
        trace to the next; "" where Paddle wrote none.
    training: the op's own mode, None where it was not carried.
    seed: the seed of an ort_rrelu.paddle.RReLU, None for any other op.
    """

    scope: str = ""
    training: bool | None = None
    seed: int | None = None

    @staticmethod
    def read(struct_name: str) -> Tags:
        """The tags in a struct_name."""
        path, *tags = struct_name.split(_MARK)
        values = dict(tag.split("=") for tag in tags)
        layers = [re.sub(r"_\d+$", "", layer) for layer in path.split("/") if layer]
        return Tags(
            "/".join(layers),
            bool(int(values["training"])) if "training" in values else None,
            int(values["seed"]) if "seed" in values else None,
        )


def _append(op: Any, path: str, **values: int) -> None:
    op.set_str_attr(_ATTRIBUTE, path + "".join(f"{_MARK}{name}={value}" for name, value in values.items()))


def set_seed(y: Any, seed: int) -> None:
    """Tag the rrelu op that gives `y`, a value of the program that is being traced, with a seed."""
    # Paddle writes the path when the layer returns, but not over a struct_name that is there already.
    _append(y.get_defining_op(), paddle.base.framework._full_name_struct(), seed=seed)


def _rrelus(block: Any) -> Iterator[Any]:
    for op in block.ops:
        if op.name() == "pd_op.rrelu":
            yield op
        for body in op.blocks():
            yield from _rrelus(body)


@contextmanager
def carrying_modes(program: Any) -> Iterator[None]:
    """In the block each rrelu of `program`, and so of the copy that Paddle saves, is tagged with its mode."""
    before = []
    for op in _rrelus(program.global_block()):
        attributes = op.attrs()
        before.append((op, attributes.get(_ATTRIBUTE)))
        _append(op, attributes.get(_ATTRIBUTE) or "", training=int(not attributes["is_test"]))
    try:
        yield
    finally:
        for op, path in before:
            if path is None:
                op.erase_attr(_ATTRIBUTE)
            else:
                op.set_str_attr(_ATTRIBUTE, path)
