"""Measurements: `make bench` runs them, prints the ratios and draws the picture. Results are in results/."""
