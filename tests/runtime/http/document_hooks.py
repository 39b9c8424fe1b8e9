"""Imported by schemathesis: no address that it makes up leads out of this machine."""

import os
from typing import Any

import schemathesis
from schemathesis import HookContext

NOWHERE = os.environ["NOWHERE"]


@schemathesis.hook
def before_call(context: HookContext, case: Any, kwargs: dict[str, Any]) -> None:
    for values in (case.body, case.headers):
        if hasattr(values, "items"):
            values.update(
                {
                    name: NOWHERE
                    for name, value in values.items()
                    if str(value)[:4].lower() == "http"
                }
            )
