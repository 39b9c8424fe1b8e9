"""The events that the container itself sends, so that a model can't send them."""

from typing import Literal, get_args

type OwnEvent = Literal[
    "started", "heartbeat", "status", "params_updated", "error", "recovered", "stopped"
]
OWN_EVENTS = get_args(OwnEvent.__value__)
