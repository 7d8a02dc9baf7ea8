"""RReLU for TensorFlow and Keras: export of functions, Keras models and SavedModels."""

from ort_rrelu.errors import MissingPackageError

try:
    import tensorflow  # noqa: F401, I001  # TensorFlow first: it is the one to be named where all are missing
    import tf2onnx  # noqa: F401
    import onnxscript  # noqa: F401  # graph.fuse needs it
except ImportError as error:
    raise MissingPackageError(
        f"{error.name} is not installed: pip install 'ort-rrelu[tensorflow]'"
    ) from error

from ort_rrelu.tensorflow.export import export

__all__ = ["export"]
