"""Bugs for Python sources: one operator, number, condition or call changed at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


class Mutant(NamedTuple):
    """One changed place: the text between two offsets of a source becomes another."""

    line: int
    start: int
    end: int
    text: str
    what: str

    def applied(self, source: str) -> str:
        """The source with the bug."""
        return source[: self.start] + self.text + source[self.end :]


def mutants(source: str) -> Iterator[Mutant]:
    """Every bug that this file knows, in the order of the source; none in types, docstrings and messages."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    encoded = source.encode()

    def place(node: ast.AST) -> tuple[int, int]:
        begin = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return len(encoded[:begin].decode()), len(encoded[:end].decode())

    for node, changed, what in _changes(ast.parse(source)):
        text = ast.unparse(changed)
        if isinstance(node, ast.expr):
            text = f"({text})"
        yield Mutant(node.lineno, *place(node), text, what)  # type: ignore[attr-defined]


def _changes(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:
                yield from _changes_of(statement)


def _changes_of(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST, str]]:
    """A node -> what takes its place. Functions in functions are visited on their own."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Raise | ast.JoinedStr | ast.AnnAssign):
        return
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _COMPARED:
        swapped = [_COMPARED[type(node.ops[0])](), *node.ops[1:]]
        yield node, ast.Compare(node.left, swapped, node.comparators), "comparison"
    elif isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield node, ast.BoolOp(other, node.values), "and, or"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, node.operand, "no not"
    elif isinstance(node, ast.BinOp) and type(node.op) in _COMPUTED:
        yield node, ast.BinOp(node.left, _COMPUTED[type(node.op)](), node.right), "arithmetic"
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield node, ast.Constant(node.value + 1), "number"
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield node, ast.Constant(not node.value), "switch"
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, ast.Pass(), "no call"
    for child in ast.iter_child_nodes(node):
        yield from _changes_of(child)
