"""What live runners may say of themselves (ai/runner/live_runner.go)."""

from typing import Any

from .addresses import is_absolute
from .golang import boolean, integer, number, string, strings, struct

METADATA_BYTES = 1024
PERSISTENT, SINGLE_SHOT = "persistent", "single-shot"
UNITS = ("hour", "720p", "fixed")
PRICE = struct({"price": number, "currency": string, "unit": string})
GPU = struct({"id": string, "name": string, "vram_mb": integer})

type Spec = dict[str, Any]
"""Each field as live_runner.go names it."""


def gpu(value: Any) -> dict[str, Any] | None:
    """An object or an index."""
    if value is None:
        return None
    found = {"id": str(value)} if type(value) is int else GPU(value)
    return {name: item for name, item in found.items() if item}


FIELDS = {
    **dict.fromkeys(("label", "runner_url", "version", "metadata", "mode", "app"), string),
    "proxy": boolean,
    "capacity": integer,
    "gpu": gpu,
    "price_info": PRICE,
}
HEARTBEAT = struct({**FIELDS, "runner_id": string, "status": string, "session_ids": strings})
STATIC = struct({**FIELDS, "routing": string, "health_url": string, "healthy_status_code": integer})


def normalize(spec: Spec, onchain: bool) -> Spec:
    """What every runner must say; ValueError names the rule."""
    if not is_absolute(spec["runner_url"]):
        raise ValueError("invalid runner_url")
    if not spec["app"] or spec["app"] != spec["app"].strip():
        raise ValueError("app must be trimmed")
    if len(spec["metadata"].encode()) > METADATA_BYTES:
        raise ValueError(f"metadata must be at most {METADATA_BYTES} bytes")
    if "\ufffd" in spec["metadata"]:
        raise ValueError("metadata must not contain Unicode replacement character U+FFFD")
    status = spec.get("status", "")
    if status != status.strip().lower():
        raise ValueError("status must be lowercase and trimmed")
    mode = {"": PERSISTENT, "single_shot": SINGLE_SHOT}.get(spec["mode"], spec["mode"])
    if mode not in (PERSISTENT, SINGLE_SHOT):
        raise ValueError(f'mode must be "{PERSISTENT}" or "{SINGLE_SHOT}"')
    if spec["capacity"] < 0:
        raise ValueError("capacity must be >= 0")
    price = spec["price_info"]
    return spec | {
        "mode": mode,
        "capacity": spec["capacity"] or 1,
        "status": status,
        "price_info": normalize_price(price) if onchain else price,
    }


def normalize_price(price: dict[str, Any]) -> dict[str, Any]:
    """Required on-chain, ignored off it."""
    if price["price"] is None:
        raise ValueError("price_info.price is required")
    if price["price"] <= 0:
        raise ValueError("price_info.price must be a positive decimal")
    currency = price["currency"].strip().lower() or "usd"
    if currency != "usd":
        raise ValueError("price_info.currency must be usd")
    unit = price["unit"].strip().lower() or "hour"
    if unit not in UNITS:
        raise ValueError("price_info.unit must be hour, 720p, or fixed")
    return {"price": price["price"], "currency": currency, "unit": unit}


def normalize_static(spec: Spec, onchain: bool) -> Spec:
    """One entry of runners.json."""
    if not spec["label"] or spec["label"] != spec["label"].strip():
        raise ValueError("label is required and must be trimmed")
    routing = spec["routing"].strip() or "runner-id"
    if routing not in ("runner-id", "label"):
        raise ValueError('routing must be "runner-id" or "label"')
    if routing == "label" and "/" in spec["label"]:
        raise ValueError('label cannot contain / when routing is "label"')
    health_url = spec["health_url"]
    if health_url.startswith("/") and not health_url.startswith("//"):
        health_url = spec["runner_url"].rstrip("/") + health_url
    if not health_url:
        raise ValueError("health_url is required")
    if not is_absolute(health_url):
        raise ValueError("invalid health_url")
    status = spec["healthy_status_code"] or 200
    if not 100 <= status <= 599:
        raise ValueError("healthy_status_code must be a valid HTTP status code")
    changes = {"routing": routing, "health_url": health_url, "healthy_status_code": status}
    return normalize(spec | changes, onchain)
