"""Tests of the wheel as a file: nox's session `wheel`."""
