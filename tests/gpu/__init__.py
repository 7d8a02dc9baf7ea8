"""Needs an NVIDIA GPU, but for the tests of its scripts; skipped without. tests/gpu/run.sh runs all of it."""
