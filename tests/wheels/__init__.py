"""Needs nothing but Python and pytest: what `make wheels` is made of, as far as it runs without zig."""
