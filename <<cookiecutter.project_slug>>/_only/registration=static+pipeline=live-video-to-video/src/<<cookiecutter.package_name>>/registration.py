"""The operator registers the container, with runners.json: only its channels are set here."""

from .trust import Trust


class Registration(Trust):
    """No other field."""
