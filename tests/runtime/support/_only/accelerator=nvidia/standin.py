"""The stand-in for NVIDIA's driver, for this process and for those that a test starts."""

import ctypes
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pynvml
import pytest

from emulator.container import eventually

type Standin = Callable[..., None]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Loaded into this process under the name that pynvml asks for; others find it in its folder,
    by LD_LIBRARY_PATH.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler named cc")
    library = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml_standin.c")
    options = ["-shared", "-fPIC", f"-Wl,-soname,{library.name}"]
    subprocess.run([compiler, *options, "-o", library, source], check=True)
    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    return library


@pytest.fixture
def nvml(library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standin]:
    """Call it with the lines that the driver goes by from now on; nvml_standin.c tells the words.

    Processes that are started meanwhile go by them, too.
    """
    path = tmp_path / "nvml"
    monkeypatch.setenv("NVML_STANDIN", str(path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("NVIDIA_VISIBLE_DEVICES", raising=False)

    def say(*lines: str) -> None:
        draft = path.with_suffix(".draft")
        draft.write_text("\n".join(("driver 580.65.06", *lines)))
        draft.rename(path)

    say()
    yield say
    say()
    eventually(lambda: not nvml_threads(), "NVML's thread has ended")
    with suppress(pynvml.NVMLError_Uninitialized):
        while True:
            pynvml.nvmlShutdown()


def nvml_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nvml"]
