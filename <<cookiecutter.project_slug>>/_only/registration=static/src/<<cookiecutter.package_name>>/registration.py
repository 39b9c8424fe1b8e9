"""The operator registers the container, with runners.json: there is nothing to set here."""

from pydantic_settings import BaseSettings


class Registration(BaseSettings):
    """No field."""
