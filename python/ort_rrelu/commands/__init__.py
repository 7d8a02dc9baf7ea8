"""The verbs of the command line, one a file. A new one needs its file and its name in the import below."""

from ort_rrelu.commands import (  # noqa: F401  # each registers itself with the app
    bench,
    compare,
    export,
    fuse,
    info,
    lower,
    portable,
    run,
    serve,
    set_training,
    triton,
)
from ort_rrelu.commands.app import app

__all__ = ["app"]
