"""RReLU for torch: a drop-in module on our kernels, and export of rrelu with both of torch's exporters."""

from ort_rrelu.errors import MissingPackageError

try:
    import torch  # noqa: F401, I001  # torch first: it is the one to be named where both are missing
    import onnxscript  # noqa: F401  # torch.onnx needs it and does not bring it along
except ImportError as error:
    raise MissingPackageError(f"{error.name} is not installed: pip install 'ort-rrelu[torch]'") from error

from ort_rrelu.torch.accept_step import accept_step
from ort_rrelu.torch.export import export, patch_onnx_export
from ort_rrelu.torch.module import RReLU
from ort_rrelu.torch.replace import replace_rrelu
from ort_rrelu.torch.translation import translation_table

torchscript_symbolics = patch_onnx_export  # its name when it served one of the exporters

__all__ = [
    "RReLU",
    "accept_step",
    "export",
    "patch_onnx_export",
    "replace_rrelu",
    "torchscript_symbolics",
    "translation_table",
]
