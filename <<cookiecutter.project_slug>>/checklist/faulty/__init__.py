"""The owner's model with faults: containers under test run this instead of the model itself."""
