"""The orchestrator's operator announces the container: see docs/orchestrator.md."""

from argparse import Namespace


def announcement(options: Namespace) -> dict[str, str]:
    """No settings."""
    return {}
