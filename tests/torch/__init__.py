"""Needs torch: its module, and exports of torch models."""
