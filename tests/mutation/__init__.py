"""Planted bugs, and how many of them the tests catch: `make mutation` takes an hour or two."""
