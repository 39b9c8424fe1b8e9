"""What live runners do wrong with an orchestrator at which they register."""

from breaking import Broken, Change
from draining import ADMITTING

SRC = "src/my_model/runtime"
LIVE = "live-video-to-video"
CATALOGUE = [
    Broken(
        "registered",
        "it registers elsewhere",
        [
            Change(
                f"{SRC}/livepeer/live_runner.py",
                '"/runners/heartbeat"',
                '"/runners/beat"',
            )
        ],
    ),
    Broken(
        "registered",
        "the orchestrator does not reach it",
        [
            Change(
                f"{SRC}/livepeer/live_runner.py",
                "self._settings[OrchestratorSettings].container_url,",
                'f"{self._settings[OrchestratorSettings].container_url}0",',
            )
        ],
    ),
    Broken(
        "registered-again",
        "it registers once",
        [
            Change(
                f"{SRC}/livepeer/live_runner.py",
                "            if error.status not in UNKNOWN_RUNNER:\n"
                "                raise\n"
                "            self._runner = None\n"
                "            return None",
                "            raise",
            )
        ],
    ),
    Broken(
        "drained",
        "it withdraws first",
        [
            Change(
                f"{SRC}/livepeer/live_runner.py",
                "        if self._closed and not self._sessions:\n",
                "        if self._closed:\n            await self._unregister()\n",
            )
        ],
        LIVE,
    ),
    ADMITTING,
    Broken(
        "withdrawn",
        "it does not unregister",
        [
            Change(
                f"{SRC}/livepeer/live_runner.py",
                "        if self._runner is not None:\n            runner, self",
                "        if self._runner is None:\n            runner, self",
            )
        ],
    ),
]
