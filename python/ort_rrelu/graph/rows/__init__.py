"""Proof that the rows of a batch stay apart in a model: its values followed from inputs to outputs."""
