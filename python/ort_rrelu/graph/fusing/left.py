"""Left: why a draw of uniform numbers does not become part of an RRelu."""

from __future__ import annotations

import onnx_ir as ir

__all__ = ["Left", "described"]


class Left(Exception):  # noqa: N818  # not an error: the model is as valid as before
    """`draw`, a RandomUniform or RandomUniformLike node, stays where it is, and the message says why."""

    def __init__(self, draw: ir.Node, reason: str) -> None:
        super().__init__(reason)
        self.draw, self.reason = draw, reason


def described(node: ir.Node) -> str:
    """How reasons call a node."""
    if node.name:
        return f'{node.op_type} node "{node.name}"'
    return f'{node.op_type} node with output "{node.outputs[0].name if node.outputs else ""}"'
