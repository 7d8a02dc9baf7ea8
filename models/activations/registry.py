"""build_activation: from a configuration to a module."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from models.activations.leaky import LeakyReLU, PReLU
from models.activations.learnable_clip import LearnableClip
from models.activations.my_relu import MyReLU
from models.activations.paper import PaperLeakyReLU, PaperRReLU
from models.activations.softplus import Softplus, SoftplusFunction
from ort_rrelu.arguments import check_switch
from ort_rrelu.errors import Error, InvalidTypeError, InvalidValueError
from ort_rrelu.torch import RReLU

Factory = Callable[..., nn.Module]
F = TypeVar("F", bound=Factory)

_FACTORIES: dict[str, Factory] = {
    "ReLU": nn.ReLU,
    "LeakyReLU": LeakyReLU,
    "PaperLeakyReLU": PaperLeakyReLU,
    "PReLU": PReLU,
    "RReLU": RReLU,
    "PaperRReLU": PaperRReLU,
    "Softplus": Softplus,
    "SoftplusFunction": SoftplusFunction,
    "LearnableClip": LearnableClip,
    "MyReLU": MyReLU,
}


class UnknownActivationError(Error, KeyError):
    """A configuration names no known type."""

    __str__ = Exception.__str__  # KeyError's own puts the message in quotes


def activation_types() -> tuple[str, ...]:
    """The known types."""
    return tuple(_FACTORIES)


def build_activation(cfg: Mapping[str, Any]) -> nn.Module:
    """The activation that cfg describes: its `type`, and that type's arguments. cfg stays as it is.

    >>> build_activation({"type": "PReLU", "num_parameters": 3})
    PReLU(num_parameters=3)

    Raises:
        UnknownActivationError (a KeyError): there is no `type`, or an unknown one; it lists the known ones.
        InvalidTypeError (a TypeError): cfg is not a mapping; an argument is missing, unknown, or of a wrong
            type.
        InvalidValueError (a ValueError): an argument is outside what its type allows.
    """
    if not isinstance(cfg, Mapping):
        raise InvalidTypeError(f"cfg={cfg!r}: it must be a dict with a type and arguments")
    arguments = dict(cfg)
    name = arguments.pop("type", None)
    if not isinstance(name, str) or name not in _FACTORIES:
        wrong = f"unknown activation type {name!r}" if "type" in cfg else f"cfg={cfg!r} has no 'type'"
        raise UnknownActivationError(f"{wrong}: known types are {', '.join(_FACTORIES)}")
    factory = _FACTORIES[name]
    _check_arguments(name, factory, arguments)
    return factory(**arguments)


def register_activation(name: str) -> Callable[[F], F]:
    """Decorator that makes a module class, or a function that returns a module, known to build_activation.

    Raises:
        InvalidTypeError (a TypeError): name is not a string, or what is decorated cannot be called.
        InvalidValueError (a ValueError): name is taken.
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"name={name!r}: it must be a string, as in @register_activation('Swish')")

    def register(factory: F) -> F:
        if name in _FACTORIES:
            raise InvalidValueError(f"name={name!r}: it is registered already, as {_FACTORIES[name]!r}")
        if not callable(factory):
            raise InvalidTypeError(f"factory={factory!r}: it must be a class or function that gives a module")
        _FACTORIES[name] = factory
        return factory

    return register


def _check_arguments(name: str, factory: Factory, arguments: Mapping[str, Any]) -> None:
    signature = inspect.signature(factory)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
        takes = ", ".join(map(str, bare)) or "no arguments"
        raise InvalidTypeError(f"activation {name!r}: {error}; it takes {takes}") from error
    if "inplace" in arguments:  # any text is true, "no" included
        check_switch("inplace", arguments["inplace"])
