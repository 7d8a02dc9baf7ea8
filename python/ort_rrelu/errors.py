"""Every error of this package derives from `Error` and from the built-in a user expects."""


class Error(Exception):
    """Base of all errors raised by ort_rrelu."""


class InvalidValueError(Error, ValueError):
    """An argument, attribute or model is outside what is allowed."""


class InvalidTypeError(Error, TypeError):
    """An argument or array has a type that is not supported."""


class LibraryError(Error, OSError):
    """The shared library is missing, cannot be loaded, or does not fit."""


class ModelFileError(Error, FileNotFoundError):
    """A model file does not exist."""


class MissingPackageError(Error, ImportError):
    """An optional package is not installed."""


class ConversionError(Error, RuntimeError):
    """Another package's converter cannot convert the model."""


class DivergedError(Error, ArithmeticError):
    """A training step gave a loss or parameters that are not finite; the state before it was kept."""


class RandomnessError(Error, RuntimeError):
    """A random call where torch.vmap was not told whether samples share random numbers."""
