"""How a container under test is told to announce itself."""

from argparse import Namespace


def announcement(options: Namespace) -> dict[str, str]:
    """Settings. Raises OSError when the secret's file can't be read."""
    told = {
        "BYOC_ORCHESTRATOR_URL": options.orchestrator,
        "BYOC_CONTAINER_URL": options.container_url,
    }
    if options.orchestrator_secret:
        told["BYOC_ORCHESTRATOR_SECRET"] = options.orchestrator_secret.read_text().strip()
    return told
