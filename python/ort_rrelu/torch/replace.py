"""replace_rrelu: every torch.nn.RReLU of a network becomes ours, where nobody could do it by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TypeGuard, TypeVar

import torch
from torch import nn

from ort_rrelu.arguments import as_seed
from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.node_attributes import check_bounds
from ort_rrelu.reference import derive_seed, fnv1a
from ort_rrelu.torch.function_calls import calls_of_class, calls_of_instance
from ort_rrelu.torch.module import RReLU

__all__ = ["replace_rrelu"]

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
    try:
        check_bounds(module.lower, module.upper)
    except (InvalidTypeError, InvalidValueError) as error:
        raise type(error)(f"RReLU module {name!r}: {error}") from error
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
            methods[type(module)] = calls_of_class(type(module))
    return kept + sorted({method for found in methods.values() for method in found})


def _kept_by(module: nn.Module) -> Iterator[str]:
    if isinstance(module, torch.jit.ScriptModule):
        if _is_scripted_rrelu(module):
            yield "scripted"
    elif isinstance(module, nn.RReLU) and not isinstance(module, RReLU):
        yield "its own forward" if type(module) is nn.RReLU else f"class {type(module).__qualname__}"
    else:
        yield from calls_of_instance(module)


def _is_scripted_rrelu(module: torch.jit.ScriptModule) -> bool:
    names = (child.original_name for child in module.modules() if isinstance(child, torch.jit.ScriptModule))
    return "RReLU" in names or "aten::rrelu" in str(getattr(module, "inlined_graph", ""))
