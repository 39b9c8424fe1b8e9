"""What containers do wrong with an orchestrator that was told of them."""

from breaking import Broken, Change
from draining import ADMITTING

SRC = "src/my_model/runtime"
LIVE = "live-video-to-video"
CATALOGUE = [
    Broken(
        "registered",
        "it takes no calls that an orchestrator has marked",
        [
            Change(
                f"{SRC}/livepeer/registrar.py",
                "        require_token(request, self.token)\n",
                "        assert 'Livepeer-Session-Id' not in request.headers\n",
            )
        ],
    ),
    Broken(
        "registered-again",
        "it is not healthy again after a pause",
        [
            Change(
                f"{SRC}/health.py",
                '        """Note that the main loop runs."""\n',
                "        if time.monotonic() - self._beat > 2.5:\n"
                "            self.status = Status.ERROR\n",
            )
        ],
    ),
    ADMITTING,
    Broken(
        "drained",
        "it is unhealthy while it drains",
        [
            Change(
                f"{SRC}/lifecycle.py",
                "        self._registrar.close_admission()\n",
                "        self._registrar.close_admission()\n"
                "        self._health.status = Status.DRAINING\n",
            )
        ],
        LIVE,
    ),
    Broken(
        "withdrawn",
        "it does not stay for a poll",
        [
            Change(
                f"{SRC}/livepeer/static.py",
                "if self._drains and self._polled_status == 200:",
                "if False:",
            )
        ],
    ),
    Broken(
        "withdrawn",
        "it is healthy to its end",
        [
            Change(
                f"{SRC}/lifecycle.py",
                "            self._health.status = Status.DRAINING\n",
                "            self._health.status = Status.OK\n",
            )
        ],
    ),
]
