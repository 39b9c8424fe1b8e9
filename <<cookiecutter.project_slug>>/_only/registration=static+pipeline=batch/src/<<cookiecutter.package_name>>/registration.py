"""The operator registers the container, with runners.json: there is nothing to set here."""

from pydantic import BaseModel


class Registration(BaseModel):
    """No field."""
