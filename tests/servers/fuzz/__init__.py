"""A fuzzer of `ort-rrelu serve`: whole, mutated and broken requests over HTTP and gRPC, each judged."""
