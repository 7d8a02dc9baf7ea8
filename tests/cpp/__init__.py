"""Needs a compiler: the C++ tests, built and run."""
