"""LeakyReLU and PReLU, y = x * slope where x <= 0: a fixed slope, and learned ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.activations.constants import as_finite, constant
from ort_rrelu.errors import InvalidValueError


def _has_onnx_operator(x: Tensor) -> bool:
    """ONNX Runtime's LeakyRelu and PRelu take no double, so there both are written as a where."""
    return x.dtype != torch.float64


class LeakyReLU(nn.LeakyReLU):
    """torch.nn.LeakyReLU that runs in double in ONNX Runtime, too: y = x * negative_slope where x <= 0.

    Any shape, any floating dtype. In place, torch raises in backward when the slope is negative.

    Args:
        negative_slope: finite.
        inplace: write y into x.

    Raises:
        InvalidTypeError, InvalidValueError: negative_slope is not a finite number.
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(as_finite(negative_slope, "negative_slope"), inplace)

    def forward(self, x: Tensor) -> Tensor:
        """LeakyReLU of x."""
        if _has_onnx_operator(x):
            return super().forward(x)
        y = torch.where(x > 0, x, x * constant(self.negative_slope, x))
        return x.copy_(y) if self.inplace else y


class PReLU(nn.PReLU):
    """Parametric ReLU (He et al. 2015): y = x * weight where x <= 0, weight learned.

    x: (n, channels, ...) with one slope for each channel (feature map), or any shape with one shared slope.
    In place, training keeps a copy of x for the slopes' gradient, as Caffe's in-place PReLU does: memory is
    saved in inference only.

    Args:
        num_parameters: 1, one shared slope, or the number of channels.
        init: the slopes in the beginning: one for all, or num_parameters of them.
        inplace: write y into x.

    Raises:
        InvalidTypeError, InvalidValueError: num_parameters < 1, init is not finite or has another length.
    """

    def __init__(
        self, num_parameters: int = 1, init: float | Sequence[float] = 0.25, inplace: bool = False
    ) -> None:
        if not isinstance(num_parameters, int) or num_parameters < 1:
            raise InvalidValueError(f"num_parameters={num_parameters!r}: it must be an integer, 1 or more")
        slopes = tuple(init) if isinstance(init, Sequence) else (init,) * num_parameters
        if len(slopes) != num_parameters:
            raise InvalidValueError(
                f"init={init!r}: it must be one number or {num_parameters} of them, as num_parameters"
            )
        first = tuple(as_finite(slope, "init") for slope in slopes)
        super().__init__(num_parameters, first)  # type: ignore[arg-type]  # for reset_parameters, which is ours
        self.inplace = inplace

    def reset_parameters(self) -> None:
        """The slopes as in the beginning."""
        with torch.no_grad():
            self.weight.copy_(torch.tensor(self.init))

    def forward(self, x: Tensor) -> Tensor:
        """PReLU of x."""
        if not self.inplace:
            return self._activate(x)
        # The gradient of a slope is made of x, which is about to be overwritten.
        return x.copy_(self._activate(x.clone() if torch.is_grad_enabled() else x))

    def _activate(self, x: Tensor) -> Tensor:
        if _has_onnx_operator(x):
            return super().forward(x)
        slopes: Tensor = self.weight
        if self.num_parameters > 1:
            slopes = slopes.view(-1, *[1] * (x.ndim - 2)).expand_as(x)
        return torch.where(x > 0, x, x * slopes)

    def extra_repr(self) -> str:
        """As torch.nn.PReLU's, with inplace."""
        return super().extra_repr() + (", inplace=True" if self.inplace else "")
