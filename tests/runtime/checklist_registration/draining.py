"""What containers do wrong in the same way, however an orchestrator comes to know of them."""

from breaking import Broken, Change

ADMITTING = Broken(
    "drained",
    "it admits sessions while it drains",
    [
        Change(
            "src/my_model/lifecycle.py",
            "        self._sessions.close()\n        self._orchestrator.close_admission()\n",
            "",
        )
    ],
)
