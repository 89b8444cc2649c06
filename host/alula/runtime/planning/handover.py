"""How long decode waits for keys and values that moved while the prompt was still being read.

Each layer's join a queue when they are complete, and cross one after the other while devices
compute. What is in the queue when the prompt has been read is waited for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Streaming:
    """How keys and values leave while a prompt is read.

    Attributes:
        pieces: of the prompt, read one after the other; each layer's keys and values cross in as
            many.
        by_layer: [devices], whether a layer's are complete when it has been computed, else when the
            device's whole segment has.
        shared: [devices], whether they cross while the device computes.
    """

    pieces: int
    by_layer: Flags
    shared: Flags


@dataclass(frozen=True)
class Backlog:
    """What is left to move after some units, of several placements; seconds for the whole prompt.

    Attributes:
        surplus: [placements], all that moves, less all the computing that it may move under.
        queued: [placements], what waits for its turn at the end of a prompt of one piece.
        held: [placements], what the current segment has not handed out yet.
    """

    surplus: Table
    queued: Table
    held: Table

    @staticmethod
    def empty(placements: int) -> "Backlog":
        """Return that before the first unit."""
        return Backlog(*np.zeros((3, placements)))

    def __getitem__(self, chosen: NDArray[np.int64]) -> "Backlog":
        """Return that of some placements, each as often as it is named."""
        return Backlog(self.surplus[chosen], self.queued[chosen], self.held[chosen])

    def after(self, *, begins: Flags, covered: Table, moved: Table, by_layer: Flags) -> "Backlog":
        """Return what is left after one more unit.

        Args:
            begins: [placements], whether the unit begins a segment.
            covered: [placements], seconds of its computing under which others' may move.
            moved: [placements], seconds that its own take.
            by_layer: [placements], whether these may leave before the segment's end.
        """
        queued = np.where(begins, self.queued + self.held, self.queued)
        held = np.where(begins, 0.0, self.held)
        return Backlog(
            self.surplus + moved - covered,
            np.maximum(0.0, queued - covered) + np.where(by_layer, moved, 0.0),
            held + np.where(by_layer, 0.0, moved),
        )

    def waited(self, pieces: int) -> Table:
        """Return [placements]: seconds that decode waits, if the last unit has been computed.

        A prompt of several pieces goes through the units so many times, each time for a part of the
        seconds. What crosses is late either by what one piece leaves at its end, or by what every
        piece before the last left as well.
        """
        earlier = np.maximum(0.0, self.surplus) * (pieces - 1)
        return (earlier + self.queued + self.held) / pieces

    def outlooks(self, pieces: int) -> Table:
        """Return [placements, outlooks]: whoever has less of each waits less, whatever follows.

        What will have been waited is the largest of these and 0, each with a number added that only
        depends on the units that follow.
        """
        earlier = self.surplus * (pieces - 1) / pieces
        ends = [self.held / pieces, (self.queued + self.held) / pieces]
        if pieces > 1:
            ends += [earlier, *(earlier + one for one in ends)]
        return np.stack(ends, axis=-1)
