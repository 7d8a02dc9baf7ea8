"""Does the random stream look random? `make test-stream` asks at length, test_stream.py in seconds.

halves.py: what is tested, measures.py: by what, stream.py: which draws are compared, with the p-values.
"""
