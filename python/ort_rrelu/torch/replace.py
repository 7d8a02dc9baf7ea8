"""replace_rrelu: every torch.nn.RReLU of a network becomes ours, and a warning lists what stays torch's own.

For that list the Python code of the modules is searched for calls of torch's rrelu functions, without running
it.
"""

from __future__ import annotations

import dis
import functools
import sys
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard, TypeVar

import torch
from torch import nn

from ort_rrelu.arguments import as_seed
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.reference import derive_seed, fnv1a
from ort_rrelu.torch.module import RReLU, bounds_of
from ort_rrelu.torch.private import OperatorNamespace, OperatorPacket

Network = TypeVar("Network", bound=nn.Module)


def replace_rrelu(model: Network, *, seed: int | None = None) -> Network:
    """Make every module of the class torch.nn.RReLU an `ort_rrelu.torch.RReLU`, in place.

    The modules stay the objects that they are, wherever the network holds them: shared ones stay shared, and
    bounds, inplace, mode, hooks and attributes stay. Another network that shares one of them then has ours.

    One warning lists what keeps torch's own rrelu: calls of torch.nn.functional.rrelu and the like in the
    code of the modules, as far as it can be read, modules whose class derives from torch.nn.RReLU or whose
    forward was exchanged, and scripted modules.

    Args:
        model: any module, an RReLU by itself too.
        seed: 0 .. 2^63 - 1; the module of the qualified name N then has the seed
            ort_rrelu.reference.derive_seed(seed, ort_rrelu.reference.fnv1a(N)), a shared one by the first of
            its names. None: modules without a seed.

    Returns:
        The model.

    Raises:
        InvalidTypeError (a TypeError), InvalidValueError (a ValueError): model or seed is not allowed, a
            module's bounds are not, or are parameters, or it has an attribute `seed` or `step`. The model is
            as it was.
    """
    if not isinstance(model, nn.Module):
        raise InvalidTypeError(f"model is of type {type(model).__name__}: it must be a torch.nn.Module")
    base = None if seed is None else as_seed(seed)
    modules = dict(_named_modules(model))
    found = {name: module for name, module in modules.items() if _is_replaceable(module)}
    for name, module in found.items():
        _check(name, module)
    for name, module in found.items():
        own = None if base is None else derive_seed(base, fnv1a(name))
        RReLU.adopt(module, own, _device(model))
    if kept := _kept(modules):
        warnings.warn(f"replace_rrelu: torch's own rrelu stays in {'; '.join(kept)}", stacklevel=2)
    return model


def _named_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module once, without what is inside of scripted ones, which cannot be changed."""
    scripted: list[str] = []
    for name, module in model.named_modules():
        if any(name.startswith(prefix) for prefix in scripted):
            continue
        if isinstance(module, torch.jit.ScriptModule):
            scripted.append(f"{name}." if name else "")
        yield name, module


def _is_replaceable(module: nn.Module) -> TypeGuard[nn.RReLU]:
    return type(module) is nn.RReLU and "forward" not in vars(module)


def _check(name: str, module: nn.RReLU) -> None:
    bounds_of(name, module)
    for bound in ("lower", "upper"):
        if bound not in vars(module):
            raise InvalidValueError(f"RReLU module {name!r}: {bound} is a parameter or buffer, not a number")
    for attribute in ("seed", "step"):
        if hasattr(module, attribute):
            raise InvalidValueError(f"RReLU module {name!r} has an attribute {attribute}, which ours needs")


def _device(model: nn.Module) -> torch.device | None:
    parameter = next(model.parameters(), None)
    return None if parameter is None else parameter.device


def _kept(modules: dict[str, nn.Module]) -> list[str]:
    methods: dict[type, list[str]] = {}
    kept = []
    for name, module in modules.items():
        kept += [f"module {name!r} ({what})" for what in _kept_by(module)]
        if type(module) not in methods:
            methods[type(module)] = _calls_of_class(type(module))
    return kept + sorted({method for found in methods.values() for method in found})


def _kept_by(module: nn.Module) -> Iterator[str]:
    if isinstance(module, torch.jit.ScriptModule):
        if _is_scripted_rrelu(module):
            yield "scripted"
    elif isinstance(module, nn.RReLU) and not isinstance(module, RReLU):
        yield "its own forward" if type(module) is nn.RReLU else f"class {type(module).__qualname__}"
    else:
        yield from _calls_of_instance(module)


def _is_scripted_rrelu(module: torch.jit.ScriptModule) -> bool:
    names = (child.original_name for child in module.modules() if isinstance(child, torch.jit.ScriptModule))
    return "RReLU" in names or "aten::rrelu" in str(getattr(module, "inlined_graph", ""))


_PACKETS = torch.ops.aten.rrelu, torch.ops.aten.rrelu_, torch.ops.aten.rrelu_with_noise
_FUNCTIONS: tuple[Any, ...] = (
    *(torch.rrelu, torch.rrelu_, nn.functional.rrelu, nn.functional.rrelu_),
    *_PACKETS,
    *(packet.default for packet in _PACKETS),
)
_UNKNOWN = object()
_BETWEEN_IMPORTS = frozenset({"SWAP", "POP_TOP", "ROT_TWO"})  # of `import a.b as c`


def _calls_of_instance(module: nn.Module) -> Iterator[str]:
    """Where a module, its submodules aside, holds torch's functions: attributes, and nodes of an fx graph."""
    if isinstance(module, torch.fx.GraphModule):
        yield from (f"node {node.name}" for node in module.graph.nodes if _is_rrelu(node.target))
    for name, value in vars(module).items():
        if any(_is_rrelu(_function(item)) or _calls(_function(item)) for item in _items(value)):
            yield f"attribute {name}"


def _calls_of_class(cls: type) -> list[str]:
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
    if not isinstance(value, types.ModuleType | OperatorNamespace | OperatorPacket):
        return _UNKNOWN
    return getattr(value, name, _UNKNOWN)
