"""The one home of benchmarks and their results."""
