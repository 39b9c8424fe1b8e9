"""Monitoring.

What Prometheus reads, and whether it is correct.
"""

import shutil
import subprocess

from ..callers import calling
from ..item import FailedError, Item, SkippedError
from ..lab import ACTIVE, PATIENCE_SECONDS, Lab, soon, total
from ..work import done
from .start import Ready
from emulator.container import Container

FAMILIES = {
    ACTIVE: "gauge",
    "byoc_frame_latency_ms": "histogram",
    "byoc_gpu_memory_bytes": "gauge",
    "byoc_errors_total": "counter",
}
LATENCIES = "byoc_frame_latency_ms_count"
# The unit stays, because dashboards know this name.
ALLOWED = "byoc_frame_latency_ms metric names should not contain abbreviated units"


class Metrics(Item):
    """The four metrics, by name and type.

    `/metrics` has the four metrics of the checklist, by their names and types.

    Why: operators watch all containers with one dashboard and one set of alerts, which know the
    metrics by name. https://prometheus.io/docs/practices/naming/

    Fix: name them byoc_sessions_active (gauge), byoc_frame_latency_ms (histogram),
    byoc_gpu_memory_bytes (gauge) and byoc_errors_total (counter).
    """

    needs = (Ready,)
    target = "running"

    def check(self, lab: Lab) -> str:
        lines = lab.running().ops.get("/metrics").text.splitlines()
        types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
        wrong = [
            f"{name} is {types.get(name, 'missing')}, not a {kind}"
            for name, kind in FAMILIES.items()
            if types.get(name) != kind
        ]
        if wrong:
            raise FailedError("; ".join(wrong))
        return ", ".join(f"{name} is a {kind}" for name, kind in FAMILIES.items())


class MetricsAgree(Item):
    """The metrics agree with the work done.

    The metrics agree with the work done: open sessions, answers and errors are counted exactly.

    Why: a gauge that leaks or a counter that stands still hides the fault that it should show.
    https://sre.google/sre-book/monitoring-distributed-systems/

    Fix: count where a session opens and where it ends, however it ends, and count each error once.
    """

    needs = (Metrics,)
    target = "running"

    def check(self, lab: Lab) -> str:
        container = lab.running()
        before, errors = total(container, LATENCIES), container.errors("bad_request")
        with calling(lab.options, container, 1) as callers:
            callers.wait_answered()
            if not lab.options.url:
                expect(container, ACTIVE, 1)
        expect(container, ACTIVE, 0)
        answers = done(callers)
        expect(container, LATENCIES, before + answers)
        container.jobs.post("/no-such-route")
        if (counted := container.errors("bad_request") - errors) != 1:
            raise FailedError(f"one wrong request was counted {counted:g} times as bad_request")
        return f"1 session, {answers} answers and 1 wrong request were counted correctly"


def expect(container: Container, name: str, value: float) -> None:
    """Now or soon. Raises FailedError."""
    try:
        soon(lambda: container.metric(name) == value, name, PATIENCE_SECONDS / 4)
    except AssertionError:
        raise FailedError(f"{name} is {container.metric(name)}, not {value:g}") from None


class Promtool(Item):
    """Prometheus accepts the metrics.

    `promtool check metrics` accepts what `/metrics` answers.

    Why: Prometheus drops a whole scrape for one line that it can't read.
    https://prometheus.io/docs/prometheus/latest/command-line/promtool/

    Fix: fix what promtool names; its remark about the unit in byoc_frame_latency_ms is allowed.
    """

    needs = (Metrics,)
    target = "running"

    def check(self, lab: Lab) -> str:
        if not (promtool := shutil.which("promtool")):
            raise SkippedError("promtool is not installed here: it comes with Prometheus")
        text = lab.running().ops.get("/metrics").content
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
        )
        remarks = (checked.stdout + checked.stderr).decode().splitlines()
        if wrong := [remark for remark in remarks if remark != ALLOWED]:
            raise FailedError("; ".join(wrong))
        return "promtool remarks on nothing but the unit in byoc_frame_latency_ms"
