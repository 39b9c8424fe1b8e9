"""The settings with which a container under test registers itself."""

from argparse import Namespace


def registration_settings(options: Namespace) -> dict[str, str]:
    """Raises OSError if the secret's file can't be read."""
    told = {
        "BYOC_ORCHESTRATOR_URL": options.orchestrator,
        "BYOC_CONTAINER_URL": options.container_url,
    }
    if options.orchestrator_secret:
        told["BYOC_ORCHESTRATOR_SECRET"] = options.orchestrator_secret.read_text().strip()
    return told
