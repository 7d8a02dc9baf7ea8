"""The digits network as one model from an image's bytes to its label, to be served."""
