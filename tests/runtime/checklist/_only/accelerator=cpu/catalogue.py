"""What containers do wrong, at least once for each item that looks at one of them that runs."""

from breaking import Broken, Change
from harness import ANSWERS

MODEL = "src/my_model/model.py"
SRC = "src/my_model/runtime"
LIVE, BATCH = "live-video-to-video", "batch"
IN_BATCH = '        if request.content_type.startswith("image/"):\n'
IN_LIVE = "        if self._frames % MEASURED_FRAMES == 0:\n"
HEALTH = "    async def _get_health(self, request: Request) -> Response:\n"
FULL = "return len(self._open) >= self._capacity"
LEAVE = "        self._open.remove(session)\n"
KEEP = "        if len(self._open) < self._capacity:\n"
COUNT = '        metrics.count_error("bad_request")\n'
ONCE_SLOW = """
        if "slow" not in globals():
            import time

            globals()["slow"] = time.sleep(8)
"""
# A thread of the model's process answers on a socket that only this container knows.
ASK_MODEL = """
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            loop = asyncio.get_running_loop()
            connection.setblocking(False)
            await loop.sock_connect(connection, f"\\0{{os.getpid()}}")
            await loop.sock_recv(connection, 1)
            {then}
"""
MODEL_ANSWERS = Change(
    f"{SRC}/worker/__main__.py",
    "    started = time.monotonic()\n",
    """    started = time.monotonic()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\\0{os.getppid()}")
    listener.listen()
    answer = lambda: [listener.accept()[0].close() for _ in iter(int, 1)]
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
        [Change(f"{SRC}/health.py", "self.status = Status.LOADING", "self.status = Status.OK")],
    ),
    Broken(
        "warm",
        "the first frame is slow",
        [Change(MODEL, IN_LIVE, ONCE_SLOW + IN_LIVE)],
        LIVE,
    ),
    Broken(
        "warm",
        "the first job is slow",
        [Change(MODEL, IN_BATCH, ONCE_SLOW + IN_BATCH)],
        BATCH,
    ),
    Broken(
        "loading",
        "health does not say that the model loads",
        [
            Change(
                f"{SRC}/health.py",
                'JSONResponse({"status": status}, 200 if status is',
                'JSONResponse({"status": "ok" if status == "ok" else "no"}, 200 if status is',
            )
        ],
    ),
    Broken(
        "wrong-setting",
        "exit code 1",
        [Change(f"{SRC}/serve.py", "return 2", "return 1")],
    ),
    Broken(
        "wrong-setting",
        "a traceback",
        [Change(f"{SRC}/serve.py", "print(error, file=sys.stderr)", "raise")],
    ),
    Broken(
        "gpu-required",
        "it starts without one",
        [Change(f"{SRC}/serve.py", "].require_gpu:", "].require_gpu is None:")],
    ),
    Broken(
        "memory-fits",
        "each job leaves memory behind",
        [
            Change(
                MODEL,
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
                MODEL,
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
        [
            Change(
                f"{SRC}/sessions/admission.py",
                FULL,
                f"{FULL} - 1",
            )
        ],
    ),
    Broken(
        "stop-with-sessions",
        "nobody listens to SIGTERM",
        [
            Change(
                f"{SRC}/signals.py",
                "loop.add_signal_handler(number, self._receive, number)",
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
                f"{SRC}/worker/supervisor.py",
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
        if (self._metrics.registry.get_sample_value("byoc_sessions_active") or 0) > 1:
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
        bad = {"type": "bad_request"}
        if (self._metrics.registry.get_sample_value("byoc_errors_total", bad) or 0) > 20:
            return Response(status_code=503)
"""
        ),
    ),
    Broken(
        "metrics",
        "one has another name",
        [Change(f"{SRC}/sessions/metrics.py", '"byoc_sessions_active"', '"byoc_active_sessions"')],
    ),
    Broken(
        "metrics",
        "one has another type",
        [
            Change(
                f"{SRC}/metrics.py",
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
                f"{SRC}/http/protocol.py",
                f"{COUNT}        message",
                f"{COUNT}{COUNT}        message",
            )
        ],
    ),
    Broken(
        "promtool",
        "a gauge is called a total",
        [Change(f"{SRC}/metrics.py", 'Gauge("byoc_capacity"', 'Gauge("byoc_capacity_total"')],
        needs="promtool",
    ),
    Broken(
        "capacity",
        "everybody is admitted",
        [
            Change(
                f"{SRC}/sessions/admission.py",
                FULL,
                f"{FULL} + 9",
            )
        ],
    ),
    Broken(
        "capacity",
        "a full container stays full",
        [Change(f"{SRC}/sessions/admission.py", LEAVE, f"{KEEP}    {LEAVE}")],
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
                f"{SRC}/worker/frame_executor.py",
                "        answer.write(np.ascontiguousarray(picture))\n",
                """        before = globals().get("before", picture)
        globals()["before"] = picture.copy()
        answer.write(np.ascontiguousarray(before))
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
                f"{SRC}/worker/job_executor.py",
                "        return Reply(kind, write(text.encode(), buffer),",
                """        before = globals().get("before", text)
        globals()["before"] = text
        return Reply(kind, write(before.encode(), buffer),""",
            )
        ],
        BATCH,
    ),
    Broken(
        "silent-caller",
        "it waits for ever",
        [
            Change(
                f"{SRC}/sessions/live_input.py",
                "now - self._media_at > self._settings.session_idle_seconds:",
                "now - self._media_at > 600:",
            )
        ],
        LIVE,
    ),
    Broken(
        "silent-caller",
        "it waits for ever",
        [
            Change(
                f"{SRC}/http/body.py",
                "        async with asyncio.timeout(seconds):\n            while True:",
                "        async with asyncio.timeout(600):\n            while True:",
            )
        ],
        BATCH,
    ),
    Broken(
        "model-killed",
        "a crash counts as something else",
        [
            Change(
                f"{SRC}/worker/supervisor.py",
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
                f"{SRC}/worker/frame_dispatcher.py",
                "        seconds = self._timeout_seconds\n",
                "        seconds = 600\n",
            )
        ],
        LIVE,
    ),
    Broken(
        "model-hung",
        "it is waited for without end",
        [
            Change(
                f"{SRC}/worker/job_dispatcher.py",
                "        model_seconds = self._settings.job_timeout_seconds\n",
                "        model_seconds = 600\n",
            )
        ],
        BATCH,
    ),
    Broken(
        "model-out-of-memory",
        "it counts as any other error",
        [
            Change(
                f"{SRC}/worker/executor.py",
                "isinstance(error, MemoryError)",
                "isinstance(error, RecursionError)",
            )
        ],
    ),
]
HERE = [each for each in CATALOGUE if each.pipeline in ("", ANSWERS["pipeline"])]
