"""`python -m ort_rrelu` is `ort-rrelu`."""

from ort_rrelu.cli import main

main()
