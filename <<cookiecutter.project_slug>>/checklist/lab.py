"""The containers under test: started for an item, shared by several, or running elsewhere."""

import itertools
import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import httpx

from emulator.asking import bearer
from emulator.container import DEADLINE_SECONDS, PACKAGE, Container, eventually, run_container

FAULTY = Path(__file__).with_name("faulty").resolve()
FAULTY_MODEL, FAULTY_FOLDER = "checklist.faulty.model:Model", "/mnt/checklist/faulty"
MODEL = f"{PACKAGE}.model:Model"
PATIENCE_SECONDS = 60  # for what must come, however busy the machine is
KILL_SECONDS = 10  # from SIGTERM to SIGKILL
FREE_SECONDS = 15  # for sessions to end
REFUSE_SECONDS = 10  # a slower answer is no refusal
ACTIVE = "byoc_sessions_active"


class Remote(Container):
    """A container that runs elsewhere: it can be called, but not stopped or broken."""

    def __init__(self, jobs: str, ops: str) -> None:
        self.jobs, self.ops = (
            httpx.Client(base_url=url, timeout=DEADLINE_SECONDS, verify=False)
            for url in (jobs, ops)
        )
        self.name = ""

    def log(self) -> str:
        return "see its log"


class Lab:
    """Starts containers for the items. `orders` is the folder of orders for the faulty model."""

    def __init__(self, options: Namespace, folder: Path) -> None:
        self.options = options
        self.quick: bool = options.quick
        self.capacity: int = options.capacity
        self.image: str = options.image or ""
        self.orders = folder / "orders"
        self.orders.mkdir(mode=0o755)
        self._folder = folder
        self._numbers = itertools.count()
        self._shared: Container | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def running(self, ready: bool = True) -> Container:
        """The container that several items share: healthy and without a session, if `ready`.

        Raises StartError.
        """
        if not (ready and self._shared and is_free(self._shared)):
            self._stack.close()
            if self.options.url:
                self._shared = Remote(self.options.url, self.options.ops)
            else:
                self._shared = self._stack.enter_context(self.start() if ready else self.launch())
        return self._shared

    @contextmanager
    def start(self, **settings: str) -> Iterator[Container]:
        """A new container, once it is healthy. Raises StartError."""
        with self.launch(**settings) as container:
            container.wait_ready()
            yield container

    @contextmanager
    def launch(self, run: Sequence[str] = (), **settings: str) -> Iterator[Container]:
        """A new container, whose model is the owner's and takes orders. Raises StartError.

        `run` are further options of `docker run`.
        """
        here = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
        path, orders = ("/mnt", "/orders") if self.image else (here, str(self.orders))
        mounted = (f"{FAULTY}:{FAULTY_FOLDER}", f"{self.orders}:/orders")
        options = [*(f"--volume={folder}:ro" for folder in mounted), *run]
        given = dict(self.options.set)
        environment = {
            **given,
            "BYOC_CAPACITY": str(self.capacity),
            **settings,
            "BYOC_MODEL": FAULTY_MODEL,
            "CHECKLIST_MODEL": given.get("BYOC_MODEL", MODEL),
            "CHECKLIST_ORDERS": orders,
            "PYTHONPATH": path,
        }
        folder = self._folder / f"container-{next(self._numbers)}"
        folder.mkdir()
        with run_container(
            folder, image=self.image, ready=False, options=options, **environment
        ) as container:
            container.jobs.headers.update(bearer(self.options.token))
            yield container

    @contextmanager
    def order(self, name: str) -> Iterator[None]:
        """Until the block ends, the model obeys this order."""
        file = self.orders / name
        file.touch(mode=0o644)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)

    def withdraw_orders(self) -> None:
        """End all orders."""
        for file in self.orders.iterdir():
            file.unlink(missing_ok=True)


def soon[T](get: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """The first true value of `get`."""
    return eventually(get, what, seconds)


def total(container: Container, name: str) -> float:
    """The value of that metric, 0 if it has no sample."""
    return container.metric(name) or 0


def is_free(container: Container) -> bool:
    """Whether it is healthy and its last session ends soon."""
    with suppress(httpx.HTTPError, AssertionError):
        eventually(lambda: not container.metric(ACTIVE), "no session", FREE_SECONDS)
        return container.ops.get("/health").status_code == 200
    return False
