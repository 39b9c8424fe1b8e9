"""How many sessions does this container hold? `python -m load_test` runs them and says."""
