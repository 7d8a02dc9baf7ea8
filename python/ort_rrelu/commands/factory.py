"""What `package.module:factory` names on the command line."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ort_rrelu.errors import ConversionError, InvalidValueError

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_factory(text: str) -> bool:
    """Has it the form package.module:factory?"""
    return _NAME.fullmatch(text) is not None


@contextmanager
def importable_here() -> Iterator[None]:
    """The current folder is searched for modules first, as `python -m` does and a script does not."""
    before = sys.path[:]
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path[:] = before


def named(text: str) -> Any:
    """The object that package.module:name names.

    Raises InvalidValueError when there is no such module or name, ConversionError when the import fails.
    """
    module, _, names = text.partition(":")
    found = _imported(text, module)
    for name in names.split("."):
        if not hasattr(found, name):
            close = difflib.get_close_matches(name, dir(found), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidValueError(f"{text}: {module} has no {name!r}{hint}")
        found = getattr(found, name)
    return found


def _imported(text: str, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ConversionError(f"{text}: importing {module} failed: {error}") from error
        raise InvalidValueError(
            f"{text}: there is no module {error.name!r}, neither in the current folder nor installed"
        ) from error
    except (Exception, SystemExit) as error:  # it is the user's code: anything may happen
        raise ConversionError(
            f"{text}: importing {module} failed: {type(error).__name__}: {error}"
        ) from error


def called(text: str, factory: Any) -> Any:
    """What the factory returns. Raises ConversionError that tells what it raised."""
    if not callable(factory):
        raise InvalidValueError(
            f"{text}: a {type(factory).__name__} is neither a module nor a function that makes one"
        )
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise ConversionError(f"{text} raised {type(error).__name__}: {error}") from error
