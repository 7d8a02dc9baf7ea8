"""Needs typer and rich: the command line, and what it is easiest to try by it: damaged models."""
