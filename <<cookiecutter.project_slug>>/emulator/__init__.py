"""Programs that call the container, for the quick start, tests and the load test."""
