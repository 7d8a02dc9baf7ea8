"""torch's optimizers as ONNX functions: SGD, Adam and AdamW, one call for each parameter.

The arithmetic is that of torch.optim's single-tensor implementations, in their order of operations: scalars
in double, tensors in the parameter's dtype.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import onnx

from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.training.step_model import DOMAIN, OPSET


def _check(name: str, value: Any, *, below: float = math.inf) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTypeError(f"{name}={value!r}: it must be a number")
    if not 0 <= value < below:
        limit = "0 or more, finite" if below == math.inf else f"from 0 to below {below:g}"
        raise InvalidValueError(f"{name}={value!r}: it must be {limit}")


def _constant(name: str, value: float) -> str:
    """A double constant, and the same in the parameter's dtype, as text of onnx.parser."""
    return (
        f"{name}_double = Constant <value = double {{{value!r}}}> ()\n{name} = CastLike ({name}_double, p)\n"
    )


def _function(name: str, inputs: Sequence[str], outputs: Sequence[str], body: str) -> onnx.FunctionProto:
    head = f'<domain: "{DOMAIN}", opset_import: ["": {OPSET}]>'
    text = f"{head}\n{name} ({', '.join(inputs)}) => ({', '.join(outputs)}) {{\n{body}}}"
    return onnx.parser.parse_function(text)


@dataclass(frozen=True)
class Optimizer:
    """What its function needs: slots are the tensors kept for each parameter, in torch's names.

    function() takes p, gradient, the slots, then `scalars`, and gives p_next and the slots' next values;
    prepare() is text that makes the scalars, once for all parameters, from `step`, `lr` and `eps`.
    """

    lr: float = 1e-3

    slots: ClassVar[Sequence[str]] = ()
    scalars: ClassVar[Sequence[str]] = ("lr",)

    def __post_init__(self) -> None:
        _check("lr", self.lr)

    @property
    def inputs(self) -> dict[str, float]:
        """Hyperparameters that are inputs of the step, with their defaults."""
        return {"lr": self.lr}

    def prepare(self) -> onnx.FunctionProto | None:
        """(step, inputs...) -> scalars beyond lr, where there are any."""
        return None

    def function(self) -> onnx.FunctionProto:
        """The update of one parameter."""
        raise NotImplementedError


@dataclass(frozen=True)
class SGD(Optimizer):
    """torch.optim.SGD, without dampening."""

    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("momentum", self.momentum)
        _check("weight_decay", self.weight_decay)
        if not isinstance(self.nesterov, bool):
            raise InvalidTypeError(f"nesterov={self.nesterov!r}: it must be True or False")
        if self.nesterov and not self.momentum:
            raise InvalidValueError("nesterov=True: it needs a momentum above 0")

    @property
    def slots(self) -> Sequence[str]:  # type: ignore[override]
        """momentum_buffer, if there is momentum."""
        return ("momentum_buffer",) if self.momentum else ()

    def function(self) -> onnx.FunctionProto:
        """The update of one parameter."""
        body, g = "", "gradient"
        if self.weight_decay:
            body += _constant("decay", self.weight_decay)
            body += "shrinking = Mul (decay, p)\n decayed = Add (gradient, shrinking)\n"
            g = "decayed"
        if self.momentum:
            body += _constant("momentum", self.momentum)
            body += f"kept = Mul (momentum, momentum_buffer)\n momentum_buffer_next = Add (kept, {g})\n"
            if self.nesterov:
                body += "ahead = Mul (momentum, momentum_buffer_next)\n"
                body += f"looking = Add ({g}, ahead)\n"
                g = "looking"
            else:
                g = "momentum_buffer_next"
        body += f"rate = CastLike (lr, p)\n change = Mul (rate, {g})\n p_next = Sub (p, change)\n"
        slots = list(self.slots)
        return _function(
            "SGD", ["p", "gradient", *slots, "lr"], ["p_next", *(f"{s}_next" for s in slots)], body
        )


@dataclass(frozen=True)
class Adam(Optimizer):
    """torch.optim.Adam, without amsgrad; weight_decay is added to the gradient."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    slots: ClassVar[Sequence[str]] = ("exp_avg", "exp_avg_sq")
    scalars: ClassVar[Sequence[str]] = ("lr", "eps", "step_size", "root_of_correction")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.betas, Sequence) or len(self.betas) != 2:
            raise InvalidTypeError(f"betas={self.betas!r}: it must be two numbers")
        for number, beta in enumerate(self.betas):
            _check(f"betas[{number}]", beta, below=1)
        _check("eps", self.eps)
        _check("weight_decay", self.weight_decay)

    @property
    def inputs(self) -> dict[str, float]:
        """The learning rate, and what keeps the denominator above 0."""
        return {"lr": self.lr, "eps": self.eps}

    def prepare(self) -> onnx.FunctionProto:
        """step_size = lr / (1 - beta1^t), root_of_correction = sqrt(1 - beta2^t), t = step + 1, in double."""
        body = """
            one_step = Constant <value_int = 1> ()
            t_integer = Add (step, one_step)
            t = CastLike (t_integer, lr)
            one = Constant <value = double {1.0}> ()
        """
        for number, beta in enumerate(self.betas, 1):
            body += f"beta{number} = Constant <value = double {{{float(beta)!r}}}> ()\n"
            body += f"power{number} = Pow (beta{number}, t)\n"
            body += f"correction{number} = Sub (one, power{number})\n"
        body += "step_size = Div (lr, correction1)\n root_of_correction = Sqrt (correction2)\n"
        return _function("AdamScalars", ["step", "lr", "eps"], ["step_size", "root_of_correction"], body)

    def function(self) -> onnx.FunctionProto:
        """The update of one parameter."""
        body, p, g = self._decay()
        first, second = self.betas
        body += _lerp(1 - first, g)
        body += _constant("beta2", second) + _constant("rest2", 1 - second)
        body += f"""
            v_kept = Mul (exp_avg_sq, beta2)
            scaled = Mul (rest2, {g})
            v_new = Mul (scaled, {g})
            exp_avg_sq_next = Add (v_kept, v_new)
            root = Sqrt (exp_avg_sq_next)
            correction = CastLike (root_of_correction, p)
            corrected = Div (root, correction)
            epsilon = CastLike (eps, p)
            denominator = Add (corrected, epsilon)
            size = CastLike (step_size, p)
            numerator = Mul (size, exp_avg_next)
            change = Div (numerator, denominator)
            p_next = Sub ({p}, change)
        """
        inputs = ["p", "gradient", *self.slots, *self.scalars]
        return _function(type(self).__name__, inputs, ["p_next", *(f"{s}_next" for s in self.slots)], body)

    def _decay(self) -> tuple[str, str, str]:
        """Text, and the names of the parameter and the gradient that the rest works with."""
        if not self.weight_decay:
            return "", "p", "gradient"
        body = _constant("decay", self.weight_decay)
        return body + "shrinking = Mul (decay, p)\n decayed = Add (gradient, shrinking)\n", "p", "decayed"


def _lerp(weight: float, g: str) -> str:
    """exp_avg moved towards the gradient, by torch's formula, which is another one from 1/2 on."""
    if weight < 0.5:
        return _constant("weight", weight) + (
            f"distance = Sub ({g}, exp_avg)\n moved = Mul (weight, distance)\n"
            "exp_avg_next = Add (exp_avg, moved)\n"
        )
    return _constant("weight", 1 - weight) + (
        f"distance = Sub ({g}, exp_avg)\n moved = Mul (distance, weight)\n exp_avg_next = Sub ({g}, moved)\n"
    )


@dataclass(frozen=True)
class AdamW(Adam):
    """torch.optim.AdamW: weight_decay shrinks the parameter itself."""

    weight_decay: float = 1e-2

    def _decay(self) -> tuple[str, str, str]:
        if not self.weight_decay:
            return "", "p", "gradient"
        body = f"""
            decay = Constant <value = double {{{float(self.weight_decay)!r}}}> ()
            one = Constant <value = double {{1.0}}> ()
            share = Mul (lr, decay)
            left = Sub (one, share)
            factor = CastLike (left, p)
            shrunk = Mul (p, factor)
        """
        return body, "shrunk", "gradient"


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def make_optimizer(name: str, options: dict[str, Any]) -> Optimizer:
    """The optimizer of that name; InvalidValueError or InvalidTypeError says what is allowed."""
    if name not in OPTIMIZERS:
        raise InvalidValueError(f"optimizer={name!r}: it must be one of {', '.join(map(repr, OPTIMIZERS))}")
    allowed = [field.name for field in dataclasses.fields(OPTIMIZERS[name])]
    for option in options:
        if option not in allowed:
            raise InvalidTypeError(f"{option}: {name!r} has no such option: it takes {', '.join(allowed)}")
    return OPTIMIZERS[name](**options)
