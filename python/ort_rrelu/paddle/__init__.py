"""RReLU for Paddle: a drop-in layer on our kernels, and export of rrelu from layers and saved models."""

from ort_rrelu.errors import MissingPackageError

try:
    import onnx_ir  # noqa: F401
    import paddle  # noqa: F401
except ImportError as error:
    raise MissingPackageError(f"{error.name} is not installed: pip install 'ort-rrelu[paddle]'") from error

from ort_rrelu.paddle.export import export
from ort_rrelu.paddle.module import RReLU

__all__ = ["RReLU", "export"]
