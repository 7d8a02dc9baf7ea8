"""Real servers and real clients: run by the nox sessions serving and serving_ray, not by `make test`."""
