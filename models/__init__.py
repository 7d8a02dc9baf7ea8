"""Small real networks, each trained, exported and run."""
