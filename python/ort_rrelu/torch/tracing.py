"""RReLU under torch.fx: a call of the module in the graph, as for torch's own layers.

fx traces into a module whose class is not torch's. Mode and step would then be those of the trace, for good.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch.fx import Proxy, Tracer

from ort_rrelu.errors import InvalidValueError

__all__ = ["call_module"]


def call_module(module: torch.nn.Module, x: Any, step: Any, *, own_forward: bool) -> Proxy:
    """Write the call of `module` into the graph that is traced.

    Args:
        module: whose forward is traced.
        x, step: arguments of forward, at least one of them an fx.Proxy; step None is left out.
        own_forward: is there no other forward around the module's own, which would be traced and run too?

    Raises:
        InvalidValueError: the graph cannot call the module: it is the root of the trace, or has hooks or
            another forward, which have been traced already.
        NameError: from torch, as for its own layers: the module is not a submodule of the root.
    """
    tracer = next(value.tracer for value in (x, step) if isinstance(value, Proxy))
    path = cast(Tracer, tracer).path_of_module(module)
    if not path:
        raise InvalidValueError(
            "torch.fx: an RReLU by itself cannot be traced, for a graph calls only submodules: trace "
            "torch.nn.Sequential(module)"
        )
    if not own_forward or module._forward_hooks or module._forward_pre_hooks:
        raise InvalidValueError(
            f"torch.fx: RReLU module {path!r} has hooks or a forward of another class, which would be in the "
            "graph and run in the module, too: use a Tracer whose is_leaf_module is True for it"
        )
    return tracer.create_proxy("call_module", path, (x,), {} if step is None else {"step": step})
