"""The operator lists the container in runners.json, so it needs no settings to be registered."""

from argparse import Namespace


def registration_settings(options: Namespace) -> dict[str, str]:
    """No settings."""
    return {}
