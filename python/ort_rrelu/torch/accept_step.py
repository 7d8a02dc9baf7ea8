"""accept_step: a network that takes `step=` beside its own arguments, and hands it to all of its RReLUs."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ort_rrelu.errors import InvalidTypeError, InvalidValueError
from ort_rrelu.torch import accepted, private
from ort_rrelu.torch.module import RReLU, as_tensor

Network = TypeVar("Network", bound=nn.Module)

_STEP = "step"


def accept_step(net: Network) -> Network:
    """Let `net` be called with `step=`, for networks whose layers pass no such argument on.

    `net(x, step=k)` draws all RReLUs of the call at step k; `net(x, step=tensor)`, int64 of shape [N], draws
    row n of each RReLU's input, which must have N rows, at step[n]: a sample then has the same slopes in any
    batch. Without step= the network is as it was. Parameters, buffers and the keys of its state_dict do not
    change. It works under torch.utils.checkpoint, DistributedDataParallel, FSDP2 and torch.compile.

    The step is copied when the call begins. It serves the modules that the thread of the call runs in it, and
    their recomputation in backward, wherever that runs; where a recomputation cannot find its forward
    (preserve_rng_state=False inside the network), it raises. A module that is called more than once in one
    call of the network draws call j, from 0, with ort_rrelu.reference.derive_seed(seed, j) from j = 1 on, as
    an exported model does. A module's own step= goes first. Counters stay. RReLUs in eval mode take no step.

    Torch's functions (torch.nn.functional.rrelu) cannot be told a step, nor be seen: a warning of
    `replace_rrelu` lists them.

    Args:
        net: any module; its forward must not have a parameter `step` already. A root of DataParallel is
            wrapped afterwards: torch.nn.DataParallel(accept_step(net)).

    Returns:
        The network itself, with two hooks.

    Raises:
        InvalidTypeError (a TypeError), InvalidValueError (a ValueError): net is not allowed; and from calls
            with step=, where the step is not an int or an int64 tensor of no or one dimension, an RReLU in
            train mode has no seed or is torch's own, or the input of one has another number of rows than
            step; such a message names the module.
    """
    if not isinstance(net, nn.Module):
        raise InvalidTypeError(f"net is of type {type(net).__name__}: it must be a torch.nn.Module")
    if isinstance(net, torch.jit.ScriptModule):
        raise InvalidTypeError(
            "net is a scripted module, which takes no keyword: accept_step before scripting"
        )
    if any(isinstance(module, nn.DataParallel) for module in net.modules()):
        raise InvalidValueError(
            "net has a torch.nn.DataParallel, whose modules run in other threads than the call: use "
            "torch.nn.DataParallel(accept_step(module))"
        )
    if _take in private.forward_pre_hooks(net):
        return net
    if _STEP in inspect.signature(net.forward).parameters:
        raise InvalidValueError(
            f"the forward of {type(net).__name__} has a parameter step already: call it with that one"
        )
    net.register_forward_pre_hook(_take, with_kwargs=True)
    net.register_forward_hook(_leave, always_call=True)
    return net


def _take(net: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    rest = {name: value for name, value in kwargs.items() if name != _STEP}
    step = kwargs.get(_STEP)
    if step is None:
        accepted.reenter(net)
    else:
        accepted.enter(net, _copied(step))
        _check_modules(net)
    return args, rest


def _leave(net: nn.Module, args: Any, output: Any) -> None:
    accepted.leave(net)


def _copied(step: Any) -> Tensor:
    if not isinstance(step, Tensor):
        return as_tensor(step)
    if step.dtype != torch.int64 or step.ndim > 1:
        raise InvalidValueError(
            f"step has dtype {step.dtype} and shape {list(step.shape)}: it must be int64, and a scalar or of "
            "one dimension, with a step for each row"
        )
    return step.detach().clone()


def _check_modules(net: nn.Module) -> None:
    """Raise InvalidValueError where an RReLU in train mode would not draw with the step."""
    for name, module in net.named_modules():
        if not isinstance(module, nn.RReLU) or not module.training:
            continue
        if not isinstance(module, RReLU):
            raise InvalidValueError(
                f"RReLU module {name!r} is torch's own, which cannot draw with step=: call "
                "ort_rrelu.torch.replace_rrelu(net, seed=...) first"
            )
        if module.seed is None:
            raise accepted.unseeded(repr(name))


# torch.compile mostly leaves the hooks of its root outside of what it compiles.
private.never_compiled_alone(_take)
private.never_compiled_alone(_leave)
