"""Needs torch and scikit-learn: the networks of models/."""
