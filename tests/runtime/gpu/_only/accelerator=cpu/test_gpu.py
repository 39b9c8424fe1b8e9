"""Without GPU support: the metrics keep their names, and nothing pretends to be a GPU."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from emulator.container import Container
from harness import refuse_to_start
from my_model.runtime.ops.gpu import GpuUnavailableError
from my_model.runtime.ops.no_gpu import NoGpu

FAMILIES = ["byoc_gpu_memory_bytes", "byoc_gpu_memory_total_bytes"]


def test_the_families_have_no_samples() -> None:
    collector = NoGpu(on_error=lambda: pytest.fail("there is nothing that could fail"))
    registry = CollectorRegistry()
    registry.register(collector)
    asyncio.run(collector.refresh())
    families = text_string_to_metric_families(generate_latest(registry).decode())
    assert [(family.name, family.samples) for family in families] == [(n, []) for n in FAMILIES]


def test_the_server_declares_them(server: Container) -> None:
    text = server.ops.get("/metrics").text
    for name in FAMILIES:
        assert f"# TYPE {name} gauge\n" in text
        assert server.metric(name) is None


def test_a_required_gpu_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(GpuUnavailableError, match="without GPU support"):
        NoGpu.require({})
    code, message = refuse_to_start(tmp_path, BYOC_REQUIRE_GPU="1")
    assert code == 2
    assert "without GPU support" in message
    assert message.count("\n") == 1
