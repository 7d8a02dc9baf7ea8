"""The verbs of the command line. Each registers itself with the app; a new module joins the import below."""

from ort_rrelu.commands import bench, compare, export, info, run, serve, transform  # noqa: F401
from ort_rrelu.commands.app import app

__all__ = ["app"]
