"""The owner's model, which carries out the checklist's orders before each job."""

from typing import Any

from .orders import FaultyModel, given, obey


class Model(FaultyModel):
    def predict(self, request: Any) -> Any:
        if given("echo"):
            return request.json()
        obey()
        return self._real.predict(request)
