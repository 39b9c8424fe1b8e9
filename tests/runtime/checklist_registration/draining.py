"""What containers do wrong in the same way, however an orchestrator comes to know of them."""

from breaking import Broken, Change

ADMITTING = Broken(
    "drained",
    "it admits sessions while it drains",
    [
        Change(
            "src/my_model/runtime/lifecycle.py",
            "        self._admission.refuse_new()\n        self._registrar.close_admission()\n",
            "",
        )
    ],
)
