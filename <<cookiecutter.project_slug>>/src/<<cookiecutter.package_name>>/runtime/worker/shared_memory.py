"""Shared memory for bodies and answers, one buffer for each direction.

The memory is anonymous (memfd): it has no name, so there is nothing to unlink, it does not count
against the small `/dev/shm` of a container, and the kernel frees it when the last process that maps
it is gone, however that process ended.
"""

import mmap
import os
from collections.abc import Buffer
from typing import Self


class TooLargeError(Exception):
    """The data does not fit into the buffer."""


class SharedBuffer:
    """`size` bytes, shared by whoever holds `fd`; a page costs memory once it is written."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size)

    @classmethod
    def create(cls, size: int) -> Self:
        fd = os.memfd_create("slot", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        return cls(fd, size)

    def write(self, data: Buffer) -> int:
        """Copy `data` (any C-contiguous buffer) to the start; return its length in bytes."""
        with memoryview(data) as view, view.cast("B") as octets:
            size = len(octets)
            if size > self.size:
                raise TooLargeError(f"{size} bytes do not fit into {self.size}")
            self._map[:size] = octets
        return size

    def read(self, size: int) -> bytes:
        return self._map[:size]

    def view(self, size: int) -> memoryview:
        """The first `size` bytes without a copy, read-only, valid until the next write."""
        return memoryview(self._map)[:size].toreadonly()

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)
