"""The load test: `python -m load_test` finds how many sessions a container holds."""
