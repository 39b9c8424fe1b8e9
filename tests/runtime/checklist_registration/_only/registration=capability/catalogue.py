"""What containers do wrong with an orchestrator at which they register a capability."""

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
                f"{SRC}/livepeer/capability.py",
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
                f"{SRC}/livepeer/capability.py",
                '"url": orchestrator.container_url,',
                '"url": f"{orchestrator.container_url}0",',
            )
        ],
    ),
    Broken(
        "registered-again",
        "it registers once",
        [
            Change(
                f"{SRC}/livepeer/capability.py",
                "        return orchestrator.registration_interval_seconds\n",
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
                f"{SRC}/livepeer/capability.py",
                "        if self._may_be_registered:",
                "        if not self._may_be_registered:",
            )
        ],
    ),
]
