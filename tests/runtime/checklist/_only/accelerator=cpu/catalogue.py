"""What containers do wrong, at least once for each item that looks at one of them that runs."""

from breaking import Broken, Change
from harness import ANSWERS

SRC = "src/my_model"
LIVE, BATCH = "live-video-to-video", "batch"
IN_BATCH = '        if request.content_type.startswith("image/"):\n'
IN_LIVE = "        if self._frames % MEASURED_FRAMES == 0:\n"
HEALTH = "    async def _get_health(self, request: Request) -> Response:\n"
ADMIT = "        if len(self._open) >= self._capacity:\n            raise"
KEEP = "            if len(self._open) < self._capacity:\n"
ONCE_SLOW = """
        if "slow" not in globals():
            import time

            globals()["slow"] = time.sleep(8)
"""
# A thread of the model's process answers on a socket that only this container knows.
ASK_MODEL = """
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as door:
            loop = asyncio.get_running_loop()
            door.setblocking(False)
            await loop.sock_connect(door, f"\\0{{os.getpid()}}")
            await loop.sock_recv(door, 1)
            {then}
"""
MODEL_ANSWERS = Change(
    f"{SRC}/engine/worker.py",
    "    started = time.monotonic()\n",
    """    started = time.monotonic()
    door = socket.socket(socket.AF_UNIX)
    door.bind(f"\\0{os.getppid()}")
    door.listen()
    answer = lambda: [door.accept()[0].close() for _ in iter(int, 1)]
    threading.Thread(target=answer, daemon=True).start()
""",
)


def health(code: str, imports: str = "") -> list[Change]:
    """What `/health` does first."""
    file = f"{SRC}/ops/server.py"
    return [
        Change(file, HEALTH, HEALTH + code.lstrip("\n")),
        Change(file, "import asyncio\n", f"import asyncio\n{imports}"),
    ]


CATALOGUE = [
    Broken(
        "ready",
        "healthy before the model has loaded",
        [Change(f"{SRC}/ops/health.py", "self.status = Status.LOADING", "self.status = Status.OK")],
    ),
    Broken(
        "warm",
        "the first frame is slow",
        [Change(f"{SRC}/model.py", IN_LIVE, ONCE_SLOW + IN_LIVE)],
        LIVE,
    ),
    Broken(
        "warm",
        "the first job is slow",
        [Change(f"{SRC}/model.py", IN_BATCH, ONCE_SLOW + IN_BATCH)],
        BATCH,
    ),
    Broken(
        "loading",
        "health does not say that the model loads",
        [
            Change(
                f"{SRC}/ops/health.py",
                'JSONResponse({"status": status}, 200 if status is',
                'JSONResponse({"status": "ok" if status == "ok" else "no"}, 200 if status is',
            )
        ],
    ),
    Broken(
        "wrong-setting",
        "exit code 1",
        [Change(f"{SRC}/__main__.py", "return 2", "return 1")],
    ),
    Broken(
        "wrong-setting",
        "a traceback",
        [Change(f"{SRC}/__main__.py", "print(error, file=sys.stderr)", "raise")],
    ),
    Broken(
        "gpu-required",
        "it starts without one",
        [Change(f"{SRC}/serve.py", "if settings.require_gpu:", "if settings.require_gpu is None:")],
    ),
    Broken(
        "memory-fits",
        "each job leaves memory behind",
        [
            Change(
                f"{SRC}/model.py",
                IN_BATCH,
                f'        globals().setdefault("kept", []).append(100_000_000 * b"x")\n{IN_BATCH}',
            )
        ],
        BATCH,
        ["--memory-gib=0.5"],
    ),
    Broken(
        "memory-fits",
        "each session takes much",
        [
            Change(
                f"{SRC}/model.py",
                "        self._frames = 0\n",
                '        self._frames = 0\n        self._kept = 600_000_000 * b"x"\n',
            )
        ],
        LIVE,
        ["--memory-gib=1"],
    ),
    Broken(
        "capacity-measured",
        "one less is admitted than it says",
        [Change(f"{SRC}/sessions.py", ADMIT, ADMIT.replace("_capacity:", "_capacity - 1:"))],
    ),
    Broken(
        "stop-with-sessions",
        "nobody listens to SIGTERM",
        [
            Change(
                f"{SRC}/signals.py",
                "loop.add_signal_handler(number, self._take, number)",
                "pass",
            )
        ],
    ),
    Broken(
        "stop-with-sessions",
        "what is open is cut",
        [
            Change(
                f"{SRC}/lifecycle.py",
                "reserve = ANSWER_SECONDS + WORKER_SECONDS + SERVER_SECONDS",
                "reserve = 600",
            )
        ],
    ),
    Broken(
        "stop-with-sessions",
        "it does not end",
        [
            Change(
                f"{SRC}/lifecycle.py",
                '        log.info("stopped", in_time=in_time)\n',
                '        log.info("stopped", in_time=in_time)\n        await asyncio.sleep(60)\n',
            )
        ],
    ),
    Broken(
        "stop-twice",
        "a drain goes on after the second signal",
        [
            Change(
                f"{SRC}/lifecycle.py",
                "Deadline(self._settings.drain_seconds, self._signals)",
                "Deadline(self._settings.drain_seconds, asyncio.Queue())",
            )
        ],
    ),
    Broken(
        "stop-while-loading",
        "it waits for the model to load",
        [
            Change(
                f"{SRC}/engine/supervisor.py",
                "        if self.state is not State.READY:\n            await",
                "        if self.state is None:\n            await",
            )
        ],
    ),
    Broken(
        "health-under-load",
        "full is not healthy",
        health(
            """
        told = self._metrics.sessions_active.collect()
        if any(sample.value > 1 for metric in told for sample in metric.samples):
            return Response(status_code=503)
"""
        ),
    ),
    Broken(
        "health-with-lock",
        "a thread of the model's process answers",
        [
            *health(ASK_MODEL.format(then="pass"), "import contextlib\nimport os\n"),
            MODEL_ANSWERS,
        ],
    ),
    Broken(
        "health-off-inference",
        "the model's process answers",
        [
            *health(ASK_MODEL.format(then="pass"), "import contextlib\nimport os\n"),
            MODEL_ANSWERS,
        ],
    ),
    Broken(
        "health-during-restart",
        "it is as healthy as the model's process",
        [
            *health(
                ASK_MODEL.format(then="return self._health.response()")
                + "        return Response(status_code=503)\n",
                "import contextlib\nimport os\n",
            ),
            MODEL_ANSWERS,
        ],
    ),
    Broken(
        "health-under-flood",
        "wrong requests make it unhealthy",
        health(
            """
        told = self._metrics.errors.labels(type="bad_request").collect()
        if any(sample.value > 20 for metric in told for sample in metric.samples):
            return Response(status_code=503)
"""
        ),
    ),
    Broken(
        "metrics",
        "one has another name",
        [Change(f"{SRC}/ops/metrics.py", '"byoc_sessions_active"', '"byoc_active_sessions"')],
    ),
    Broken(
        "metrics",
        "one has another type",
        [
            Change(
                f"{SRC}/ops/metrics.py",
                'Counter("byoc_errors", "Errors by type.", ["type"]',
                'Gauge("byoc_errors", "Errors by type.", ["type"]',
            )
        ],
    ),
    Broken(
        "metrics-agree",
        "a wrong request counts twice",
        [
            Change(
                f"{SRC}/refusals.py",
                'metrics.errors.labels(type="bad_request").inc()\n        message',
                'metrics.errors.labels(type="bad_request").inc(2)\n        message',
            )
        ],
    ),
    Broken(
        "promtool",
        "a gauge is called a total",
        [Change(f"{SRC}/ops/metrics.py", 'Gauge("byoc_capacity"', 'Gauge("byoc_capacity_total"')],
        needs="promtool",
    ),
    Broken(
        "capacity",
        "everybody is admitted",
        [Change(f"{SRC}/sessions.py", ADMIT, ADMIT.replace("_capacity:", "_capacity + 9:"))],
    ),
    Broken(
        "capacity",
        "where all places are taken they stay so",
        [
            Change(
                f"{SRC}/sessions.py",
                "            self._open.discard(session)\n",
                KEEP + "                self._open.discard(session)\n",
            )
        ],
        BATCH,
    ),
    Broken(
        "capacity",
        "where all places are taken they stay so",
        [
            Change(
                f"{SRC}/sessions.py",
                "            del self._open[session.id]\n",
                KEEP + "                del self._open[session.id]\n",
            )
        ],
        LIVE,
    ),
    Broken(
        "retry-after",
        "nobody says when",
        [Change(f"{SRC}/errors.py", "if self.status == 503 else", "if self.status == 599 else")],
    ),
    Broken(
        "isolation",
        "a frame is the one before it, whose ever that was",
        [
            Change(
                f"{SRC}/engine/runner.py",
                "            self._answer.write(np.ascontiguousarray(picture))\n",
                """            before = globals().get("before", picture)
            globals()["before"] = picture.copy()
            self._answer.write(np.ascontiguousarray(before))
""",
            )
        ],
        LIVE,
    ),
    Broken(
        "isolation",
        "an answer is the one before it, whose ever that was",
        [
            Change(
                f"{SRC}/engine/runner.py",
                "            return Reply(kind, self._write(text.encode()),",
                """            before = globals().get("before", text)
            globals()["before"] = text
            return Reply(kind, self._write(before.encode()),""",
            )
        ],
        BATCH,
    ),
    Broken(
        "silent-caller",
        "it waits for ever",
        [
            Change(
                f"{SRC}/live.py",
                "now - self._received > settings.session_idle_seconds:",
                "now - self._received > 600:",
            )
        ],
        LIVE,
    ),
    Broken(
        "silent-caller",
        "it waits for ever",
        [
            Change(
                f"{SRC}/batch.py",
                "    try:\n        async with asyncio.timeout(settings.body_timeout_seconds):\n",
                "    try:\n        async with asyncio.timeout(600):\n",
            )
        ],
        BATCH,
    ),
    Broken(
        "model-killed",
        "a crash counts as something else",
        [
            Change(
                f"{SRC}/engine/supervisor.py",
                'if out_of_memory else "worker_crash"',
                'if out_of_memory else "internal"',
            )
        ],
    ),
    Broken(
        "model-hung",
        "it is waited for without end",
        [
            Change(
                f"{SRC}/engine/dispatcher.py",
                "        seconds = self._settings.job_timeout_seconds\n",
                "        seconds = 600\n",
            )
        ],
    ),
    Broken(
        "model-out-of-memory",
        "it counts as any other error",
        [Change(f"{SRC}/engine/runner.py", "except MemoryError:", "except RecursionError:")],
    ),
]
HERE = [each for each in CATALOGUE if each.pipeline in ("", ANSWERS["pipeline"])]
