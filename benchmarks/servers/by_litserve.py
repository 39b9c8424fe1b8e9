"""LitServe with one worker process: `python -m benchmarks.servers.by_litserve PORT`."""

# mypy: disable-error-code="import-not-found, misc"

import sys

import litserve
from benchmarks.servers.behaviour import Order, act


class Model(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def predict(self, order: Order) -> Order:
        return act(order)


if __name__ == "__main__":
    server = litserve.LitServer(Model(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
