"""Sessions in threads under ThreadSanitizer: a C++ program, its model, and what its reports say."""
