"""Calls of torch's rrelu functions in a module's Python code, found without running it."""

from __future__ import annotations

import dis
import functools
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["calls_of_class", "calls_of_instance"]

_PACKETS = torch.ops.aten.rrelu, torch.ops.aten.rrelu_, torch.ops.aten.rrelu_with_noise
_FUNCTIONS: tuple[Any, ...] = (
    *(torch.rrelu, torch.rrelu_, nn.functional.rrelu, nn.functional.rrelu_),
    *_PACKETS,
    *(packet.default for packet in _PACKETS),
)
_UNKNOWN = object()
_BETWEEN_IMPORTS = frozenset({"SWAP", "POP_TOP", "ROT_TWO"})  # of `import a.b as c`


def calls_of_instance(module: nn.Module) -> Iterator[str]:
    """Where a module, its submodules aside, holds torch's functions: attributes, and nodes of an fx graph."""
    if isinstance(module, torch.fx.GraphModule):
        yield from (f"node {node.name}" for node in module.graph.nodes if _is_rrelu(node.target))
    for name, value in vars(module).items():
        if any(_is_rrelu(_function(item)) or _calls(_function(item)) for item in _items(value)):
            yield f"attribute {name}"


def calls_of_class(cls: type) -> list[str]:
    """Methods that call torch's functions, by themselves or through functions of their own package.

    What is looked up in containers or computed is not seen.
    """
    bases = [base for base in cls.__mro__ if not _is_torch(base.__module__)]
    return [
        f"{base.__module__}.{base.__qualname__}.{name}"
        for base in bases
        for name, value in vars(base).items()
        if _calls(_function(value))
    ]


def _items(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else (value,)


def _is_rrelu(value: Any) -> bool:
    # By identity: what a stranger's == or hash does is unknown.
    return callable(value) and any(value is function for function in _FUNCTIONS)


def _is_torch(name: str | None) -> bool:
    return (name or "").partition(".")[0] in {"torch", "builtins"}


def _function(value: Any) -> Any:
    """The plain function behind methods, properties, partials and wrappers."""
    if isinstance(value, types.MethodType | staticmethod | classmethod):
        return _function(value.__func__)
    if isinstance(value, functools.partial):
        return _function(value.func)
    if isinstance(value, property):
        return _function(value.fget)
    if isinstance(value, types.FunctionType) and "__wrapped__" in vars(value):
        return _function(vars(value)["__wrapped__"])
    return value


def _calls(function: Any, seen: frozenset[Any] = frozenset()) -> bool:
    if not isinstance(function, types.FunctionType) or function in seen or _is_torch(function.__module__):
        return False
    for value in _loaded(function, function.__code__):
        if _is_rrelu(value):
            return True
        own = isinstance(value, types.FunctionType) and _package(value) == _package(function)
        if own and _calls(value, seen | {function}):
            return True
    return False


def _package(function: types.FunctionType) -> str:
    return (function.__module__ or "").partition(".")[0]


def _loaded(
    function: types.FunctionType, code: types.CodeType, outer: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """What the code loads by names that can be followed: globals, closures, imports, their attributes."""
    names: dict[str, Any] = dict(_closure(function) if outer is None else outer)
    value: Any = _UNKNOWN
    constant: Any = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            # `import a.b` binds a, `from a.b import c` begins at a.b: the names to be imported tell.
            name = instruction.argval if constant else instruction.argval.partition(".")[0]
            value = sys.modules.get(name, _UNKNOWN)
        elif instruction.opname not in _BETWEEN_IMPORTS:
            value = _follow(instruction, value, function.__globals__, names)
        constant = instruction.argval if instruction.opname == "LOAD_CONST" else None
        if value is not _UNKNOWN:
            yield value
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _loaded(function, inner, names)


def _closure(function: types.FunctionType) -> Iterable[tuple[str, Any]]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            yield name, cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _follow(instruction: dis.Instruction, value: Any, scope: dict[str, Any], names: dict[str, Any]) -> Any:
    name, argument = instruction.opname, instruction.argval
    if name in {"LOAD_GLOBAL", "LOAD_NAME"}:
        return scope.get(argument, _UNKNOWN)
    if name in {"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"}:
        return _attribute(value, argument)
    # Newer Pythons have instructions for two variables.
    variables = argument if isinstance(argument, tuple) else (argument,)
    if name.startswith(("STORE_FAST", "STORE_DEREF")):
        names[variables[0]] = value
    if name.startswith(("LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE", "STORE_FAST_LOAD")):
        return names.get(variables[-1], _UNKNOWN)
    return _UNKNOWN


def _attribute(value: Any, name: str) -> Any:
    if not isinstance(value, types.ModuleType | torch._ops._OpNamespace | torch._ops.OpOverloadPacket):
        return _UNKNOWN
    return getattr(value, name, _UNKNOWN)
