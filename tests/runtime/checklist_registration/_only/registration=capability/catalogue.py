"""What containers do wrong with an orchestrator at which they register a capability."""

from breaking import Broken, Change
from draining import ADMITTING

SRC = "src/my_model"
LIVE = "live-video-to-video"
CATALOGUE = [
    Broken(
        "registered",
        "it registers elsewhere",
        [
            Change(
                f"{SRC}/capability.py",
                '"/capability/register"',
                '"/capability/registration"',
            )
        ],
    ),
    Broken(
        "registered",
        "the orchestrator does not reach it",
        [
            Change(
                f"{SRC}/capability.py",
                '"url": settings.container_url,',
                '"url": f"{settings.container_url}0",',
            )
        ],
    ),
    Broken(
        "registered-again",
        "it registers once",
        [
            Change(
                f"{SRC}/capability.py",
                "        return settings.registration_interval_seconds\n",
                "        return 3600\n",
            )
        ],
    ),
    ADMITTING,
    Broken(
        "drained",
        "it cuts the open session",
        [
            Change(
                f"{SRC}/lifecycle.py",
                "with Deadline(self._settings.drain_seconds, self._signals) as drain:",
                "with Deadline(0, self._signals) as drain:",
            )
        ],
        LIVE,
    ),
    Broken(
        "withdrawn",
        "it does not unregister",
        [
            Change(
                f"{SRC}/capability.py",
                "        if self._tried:",
                "        if not self._tried:",
            )
        ],
    ),
]
