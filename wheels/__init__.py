"""Wheels for five platforms, built and tested on one Linux machine: `make wheels`."""
