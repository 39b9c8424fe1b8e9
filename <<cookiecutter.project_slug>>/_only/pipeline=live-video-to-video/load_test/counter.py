"""A counter that is drawn into a picture, so that the result says which picture it shows.

It is two rows of cells along the upper edge, white for 1 and black for 0. Each row begins with a
white and ends with a black cell, which show how the model changes both. The counter survives a
codec, scaling, and a model that inverts the picture or changes its brightness. If a model paints
over it, no counter is read.
"""

import binascii
from typing import NamedTuple

import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

ROWS, BITS = 2, 24
CELLS = BITS + 2
HEIGHT = 16  # a row is a 16th of the picture's height
WHITE, BLACK, GREY = 235, 16, 128
LEAST_CONTRAST = 40  # between white and black
MOST = 65_536

type Grid = NDArray[np.uint8]


class Counter(NamedTuple):
    """Which session a picture belongs to, and its number in the clip; 16 bits each."""

    session: int
    number: int

    def bits(self) -> Grid:
        data = self.session.to_bytes(2) + self.number.to_bytes(2)
        data += binascii.crc_hqx(data, 0xFFFF).to_bytes(2)
        return np.unpackbits(np.frombuffer(data, np.uint8)).reshape(ROWS, BITS)


def draw(frame: VideoFrame, counter: Counter) -> VideoFrame:
    """A copy of a yuv420p frame, with the counter in it."""
    planes = frame.to_ndarray()
    row = frame.height // HEIGHT
    luma, chroma = planes[: frame.height], planes[frame.height :]
    cells = np.concatenate([np.ones((ROWS, 1)), counter.bits(), np.zeros((ROWS, 1))], axis=1)
    columns = np.arange(frame.width) * CELLS // frame.width
    luma[: ROWS * row] = np.where(cells[:, columns], WHITE, BLACK).repeat(row, axis=0)
    # In yuv420p each plane of colors has a quarter of the picture's bytes.
    for plane in np.split(chroma.reshape(-1), 2):
        plane[: plane.size * ROWS * row // frame.height] = GREY
    return VideoFrame.from_ndarray(planes, format="yuv420p")


def read(frame: VideoFrame) -> Counter | None:
    """The counter in a picture of any size; None if it can't be read."""
    luma = frame.to_ndarray(format="gray").astype(np.float32)
    row = luma.shape[0] / HEIGHT
    cell = luma.shape[1] / CELLS
    # The middle of each cell, where the codec blurs least.
    rows = [luma[round((n + 0.3) * row) : round((n + 0.7) * row) + 1] for n in range(ROWS)]
    edges = [(round((n + 0.3) * cell), round((n + 0.7) * cell) + 1) for n in range(CELLS)]
    seen = np.array([[part[:, a:b].mean() for a, b in edges] for part in rows])
    white, black = seen[:, :1], seen[:, -1:]
    if np.abs(white - black).min() < LEAST_CONTRAST:
        return None
    bits = np.abs(seen[:, 1:-1] - white) < np.abs(seen[:, 1:-1] - black)
    data = np.packbits(bits).tobytes()
    counter = Counter(int.from_bytes(data[:2]), int.from_bytes(data[2:4]))
    return counter if np.array_equal(counter.bits(), bits) else None
