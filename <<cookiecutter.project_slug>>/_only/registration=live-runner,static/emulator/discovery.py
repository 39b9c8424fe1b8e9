"""Finds live runners at their orchestrator (server/ai_http.go)."""

from argparse import ArgumentParser

from aiohttp import ClientSession

from .asking import CallError, ask

APP = "<<cookiecutter.app>>"


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--app", default=APP, help="the app to look for: %(default)s")


async def find(http: ClientSession, orchestrator: str, app: str) -> str:
    """The address of the runner with this app that has the most free capacity."""
    offers = await ask(http, "the orchestrator", f"{orchestrator}/discovery", "GET")
    runners = [runner for offer in offers for runner in offer.get("runners") or []]
    found = [runner for runner in runners if runner["app"] == app]
    if not found:
        offered = ", ".join(sorted({runner["app"] for runner in runners}))
        raise CallError(f"the orchestrator does not offer {app}, but {offered or 'nothing'}")
    url: str = max(found, key=lambda runner: runner["capacity_available"])["url"]
    return url
