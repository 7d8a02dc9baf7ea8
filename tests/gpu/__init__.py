"""Needs an NVIDIA GPU; skipped without. tests/gpu/run.sh runs all of it there."""
