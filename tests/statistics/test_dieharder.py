"""What dieharder prints is read whole."""

from __future__ import annotations

from tests.statistics.dieharder import parse
from tests.statistics.stream import Value

_OUTPUT = """\
#=============================================================================#
#            dieharder version 3.31.1 Copyright 2003 Robert G. Brown          #
#=============================================================================#
   rng_name    |rands/second|   Seed   |
stdin_input_raw|  1.04e+07  |3346789   |
#=============================================================================#
        test_name   |ntup| tsamples |psamples|  p-value |Assessment
#=============================================================================#
   diehard_birthdays|   0|       100|     100|0.63310000|  PASSED
           sts_serial|  16|    100000|     100|0.00000001|  FAILED
# The file file_input_raw was rewound 1 times
"""


def test_each_line_of_a_test_is_a_value() -> None:
    assert parse(_OUTPUT, "steps") == [
        Value("steps", "diehard_birthdays, 0", 10_000, 0.6331),
        Value("steps", "sts_serial, 16", 10_000_000, 1e-8),
    ]
