"""The owner's model with faults, which a container under test runs instead of the model itself."""
