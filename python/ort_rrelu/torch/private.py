"""Names of torch that torch does not promise: for a new version of torch, read this file.

All were seen in torch 2.13.0, the oldest version that this package takes. Each has a comment that says what
is taken from it, and in which file.

These names stand where they are used, because moving them here would make the code worse:
    nn.Module._apply: overridden in module.py.
    node.meta["nn_module_stack"] of exported graphs, and "@" in its keys and paths: default_exporter.py.
    torch._C.Graph, Node and Value, which torch's exporter gives to symbolics: torchscript.py.
    torch.fx.experimental.symbolic_shapes: training/tracing.py. Importing it takes 0.2 s.
    The arguments of aten operators, and _native_batch_norm_legit among them: training/decompositions.py.
    torchlib, onnxscript's translations of these operators: training/decompositions.py.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, _decomp, _ops
from torch._C import DispatchKey, DispatchKeySet, _functorch
from torch._functorch import pyfunctorch
from torch._subclasses import fake_tensor
from torch.autograd import forward_ad
from torch.fx.experimental import proxy_tensor
from torch.onnx import symbolic_helper
from torch.onnx._internal.exporter import _compat, _core, _dispatching, _flags
from torch.onnx._internal.torchscript_exporter import _globals, registration, utils

# Memory and autograd, in ops.py, module.py and accepted.py.

# Is it a copy-on-write tensor (torch._lazy_clone)? The address of such a one without the copy that data_ptr
# makes: of its storage, to which its offset is to be added.
is_copy_on_write: Callable[[Tensor], bool] = torch._C._is_cow_tensor  # type: ignore[attr-defined]
storage_address: Callable[[Tensor], int] = torch._C._data_address  # type: ignore[attr-defined]


def backward_pass() -> int:
    """The number of the backward pass that this thread runs; -1 where it runs none."""
    return torch._C._current_graph_task_id()


def in_backward() -> bool:
    """Does this thread run a backward pass?"""
    return backward_pass() != -1


def is_view(tensor: Tensor) -> bool:
    """Does the tensor share another one's memory?"""
    return tensor._is_view()


def may_be_written(tensor: Tensor) -> bool:
    """May a function of autograd write into the tensor? Torch's own operators refuse it before they write."""
    if not is_view(tensor):
        return not tensor.is_leaf
    made = torch._C._autograd._get_creation_meta(tensor)
    base = tensor._base
    return made == torch._C._autograd.CreationMeta.DEFAULT and base is not None and not base.is_leaf


def in_fake_mode() -> bool:
    """Do tensors have no memory, so that nothing is drawn?"""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


# Calls that nothing watches, in eager.py and module.py.

# torch.nn.functional's, without a look at arguments that are no tensors; and in place.
leaky_relu: Callable[[Tensor, float], Tensor] = torch._C._nn.leaky_relu
leaky_relu_: Callable[[Tensor, float], Tensor] = torch._C._nn.leaky_relu_


def buffer(module: torch.nn.Module, name: str) -> Tensor | None:
    """The module's buffer, in a fraction of the time that the attribute takes."""
    buffers = module._buffers
    return buffers[name] if name in buffers else getattr(module, name)


# Under names of their own: to look them up in torch takes a fiftieth of a small tensor's call.
_is_compiling, _is_exporting = torch.compiler.is_compiling, torch.compiler.is_exporting
_modes_of_dispatch: Callable[[], int] = torch._C._len_torch_dispatch_stack
_modes_of_functions: Callable[[], int] = torch._C._len_torch_function_stack
_tracing_state: Callable[[], Any] = torch._C._get_tracing_state
# Does a profiler run?
is_profiled: Callable[[], bool] = torch._C._autograd._profiler_enabled
_exporter_of_graphs, _exporter_of_traces = _flags, _globals.GLOBALS


def _dispatched_by(device: str, *, inference: bool = False) -> int:
    names = [device, f"Autocast{device}"]
    if not inference:
        names += ["ADInplaceOrView", f"Autograd{device}"]
    keys = (DispatchKeySet(torch._C._dispatch_key_parse(name)) for name in names)
    return functools.reduce(operator.or_, keys).raw_repr()


_dispatch_keys: Callable[[Tensor], DispatchKeySet] = torch._C._dispatch_keys
# Dense tensors with memory, by what torch's dispatcher knows of them.
_PLAIN = {
    _dispatched_by(device, inference=inference) for device in ("CPU", "CUDA") for inference in (False, True)
}


def is_plain_call(tensor: Tensor) -> bool:
    """Is a call on the tensor neither compiled, exported, traced, transformed nor in a mode?

    And is the tensor dense, on the CPU or CUDA, and nothing else: no wrapper, no lazy negative?
    """
    return (
        not (
            _is_compiling()
            or _is_exporting()
            or _modes_of_dispatch()
            or _modes_of_functions()
            or innermost_transform() is not None
            or forward_ad._current_level >= 0
            or _tracing_state() is not None
            or _exporter_of_traces.in_onnx_export
            or _exporter_of_graphs._is_onnx_exporting
        )
        and _dispatch_keys(tensor).raw_repr() in _PLAIN
    )


# torch.func, the older vmap and forward-mode differentiation, in transforms.py.

# The stack of the transforms that are open: None where there are none.
innermost_transform: Callable[[], Any] = _functorch.peek_interpreter_stack
all_transforms = pyfunctorch.retrieve_all_functorch_interpreters
current_transform = pyfunctorch.retrieve_current_functorch_interpreter
# One that is a vmap: level(), batch_size() and randomness().
VmapInterpreter = pyfunctorch.VmapInterpreter

# What a transform has wrapped: is it, is it by vmap, what is in it; into the samples of one level, and back.
is_wrapped = _functorch.is_functorch_wrapped_tensor
is_batched = _functorch.is_batchedtensor
unwrapped = _functorch.get_unwrapped
unwrap_batched = _functorch._unwrap_batched
add_batch_dim = _functorch._add_batch_dim

# A block without transforms; a block in which a call goes past what has these keys.
WithoutTransforms: Callable[[], AbstractContextManager[Any]] = torch._C._DisableFuncTorch
_Without: Callable[[DispatchKeySet], AbstractContextManager[Any]] = torch._C._ExcludeDispatchKeyGuard

# The vmap of torch.func.
_VMAP = DispatchKeySet(DispatchKey.FuncTorchVmapMode) | DispatchKeySet(DispatchKey.FuncTorchBatched)
# The vmap of torch.autograd.functional, which refuses torch's own random numbers. It maps over directions
# of differentiation, never over x.
_LEGACY_VMAP = DispatchKeySet(torch._C._dispatch_key_parse("VmapMode"))


def without_vmap() -> AbstractContextManager[Any]:
    """Calls go on to what is below this vmap."""
    return _Without(_VMAP)


def without_legacy_vmap() -> AbstractContextManager[Any]:
    """Calls go past the older vmap."""
    return _Without(_LEGACY_VMAP)


def in_forward_mode() -> bool:
    """Is forward-mode differentiation at work?"""
    return forward_ad._current_level >= 0


def constant_in_compiled_code(function: Callable[..., Any]) -> None:
    """As torch.compiler.assume_constant_result, which would import the compiler."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]


def never_compiled_alone(function: Callable[..., Any]) -> None:
    """Compiled code may hold the function; a call from other code is compiled neither itself nor below."""
    frames = torch._C._dynamo.eval_frame
    skip = frames._FrameAction.SKIP
    frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(skip, skip))


# Modules and operators, in module.py, accept_step.py, replace.py and training/tracing.py.

# What torch.ops.aten is, and torch.ops.aten.rrelu.
OperatorNamespace, OperatorPacket = _ops._OpNamespace, _ops.OpOverloadPacket


def has_hooks(module: torch.nn.Module) -> bool:
    """Has the module hooks around its forward?"""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def forward_pre_hooks(module: torch.nn.Module) -> list[Callable[..., Any]]:
    """The hooks before the module's forward."""
    return list(module._forward_pre_hooks.values())


def writes(operator: Any) -> bool:
    """Does an operator write into an argument? No where it is none of torch's."""
    schema = getattr(operator, "_schema", None)
    return schema is not None and schema.is_mutable


# Tracing, in training/tracing.py and training/decompositions.py.

# Tensors without memory, whose sizes may be symbols.
FakeTensorMode = fake_tensor.FakeTensorMode
# The operators that a function calls, as a graph.
make_fx = proxy_tensor.make_fx
# Operator -> what it is made of: torch's own list, and the same of the operators that are named.
core_aten_decompositions, get_decompositions = _decomp.core_aten_decompositions, _decomp.get_decompositions


# DTensor, in sharding.py. Imported when it is called: see there.


def ask_rule_again(operator: Any) -> None:
    """What a sharding rule answered holds only where all arguments after the first are the same."""
    from torch.distributed.tensor import DTensor
    from torch.distributed.tensor._op_schema import RuntimeSchemaInfo

    known = DTensor._op_dispatcher.sharding_propagator.op_to_schema_info
    known[operator] = RuntimeSchemaInfo(1, needs_pytree=True)


# torch.onnx.export, in export.py: functions that every call looks up when it runs, by module and name.

# (model, args, f, **options) -> ONNXProgram: all of an export with the default exporter.
EXPORT_COMPAT = _compat, "export_compat"
# (node, registry) -> its translation.
DISPATCH = _dispatching, "dispatch"
# (onnx_ir model, opset) -> onnx_ir model, or an error at models without standard operators.
CONVERT_VERSION = _core.onnxscript_apis, "convert_version"  # type: ignore[attr-defined]
# (model, args, f, ...) -> the outputs of the traced call: all of an export with the TorchScript exporter.
TORCHSCRIPT_EXPORT = utils, "_export"


# The TorchScript exporter, in torchscript.py.


def symbolic_registry() -> dict[str, Any]:
    """Name of an operator -> its symbolics; torch's own are all there."""
    utils._trigger_symbolic_function_registration()
    registered: dict[str, Any] = registration.registry._registry
    return registered


def symbolic_group(name: str, symbolic: Callable[..., Any], opset: int) -> Any:
    """What the registry holds for an operator whose symbolic is ours."""
    group = registration._SymbolicFunctionGroup(name)
    group.add_custom(symbolic, opset)
    return group


def constant(value: Any, kind: str, name: str) -> Any:
    """An argument of a symbolic as a Python value; kind is "i", "f" or "b", name is for the error."""
    return symbolic_helper._get_const(value, kind, name)  # type: ignore[no-untyped-call]


def is_none(value: Any) -> bool:
    """Is an argument of a symbolic None?"""
    return bool(symbolic_helper._is_none(value))


def traced_node(tensor: Tensor) -> Any:
    """The torch._C.Node that gives a tensor in the running trace."""
    return torch._C._get_value_trace(tensor).node()  # type: ignore[attr-defined]


def open_for_writing(f: Any) -> AbstractContextManager[Any]:
    """What torch.onnx.export takes for its file, opened for bytes."""
    opened: AbstractContextManager[Any] = torch.serialization._open_file_like(f, "wb")
    return opened
