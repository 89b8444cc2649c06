"""Arcs between nets, and the order in which signals run through them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Edges:
    """Arcs as columns: nets from and to, ns, LUT levels, and whether the wire in front is free."""

    start: np.ndarray
    end: np.ndarray
    delay: np.ndarray
    levels: np.ndarray
    direct: np.ndarray

    @classmethod
    def joined(cls, parts: "Sequence[Edges]") -> "Edges":
        """All arcs of some, one behind the other."""
        nets, empty = np.zeros(0, np.int64), np.zeros(0)
        every = [cls(nets, nets, empty, nets, np.zeros(0, np.bool_)), *parts]
        return cls(
            *(np.concatenate([getattr(part, one.name) for part in every]) for one in fields(cls))
        )

    def chosen(self, arcs: np.ndarray) -> "Edges":
        """Some of the arcs, by number."""
        return Edges(*(getattr(self, one.name)[arcs] for one in fields(self)))


def waves(edges: Edges, nets: int) -> tuple[list[np.ndarray], int]:
    """Return arcs in waves, each after all that lead to its starts; and how many are left out.

    What is left out closes a loop. Such loops are false: nothing here keeps its value in one.
    """
    after, before = _Incidence(edges.start, nets), _Incidence(edges.end, nets)
    waiting = np.bincount(edges.end, minlength=nets)
    done = np.zeros(nets, np.bool_)
    ready = np.flatnonzero(waiting == 0)
    found, left_out = [], 0
    while True:
        done[ready] = True
        arcs = after.arcs(ready)
        kept = arcs[~done[edges.end[arcs]]]
        left_out += arcs.size - kept.size
        if kept.size:
            found.append(kept)
        ends = edges.end[kept]
        np.subtract.at(waiting, ends, 1)
        ready = np.unique(ends[waiting[ends] == 0])
        if not ready.size:
            stuck = np.flatnonzero(~done)
            if not stuck.size:
                return found, left_out
            # A net of a loop goes on with what has reached it.
            ready = _in_a_loop(edges, before, int(stuck[0]), done, waiting)


class _Incidence:
    """The arcs at each net."""

    def __init__(self, at: np.ndarray, nets: int) -> None:
        self._order = np.argsort(at, kind="stable")
        self._first = np.searchsorted(at[self._order], np.arange(nets + 1))

    def arcs(self, nets: np.ndarray) -> np.ndarray:
        """Numbers of the arcs at some nets."""
        start, stop = self._first[nets], self._first[nets + 1]
        lengths = stop - start
        before = np.cumsum(lengths) - lengths
        return self._order[np.arange(lengths.sum()) - np.repeat(before - start, lengths)]


def _in_a_loop(
    edges: Edges, before: _Incidence, net: int, done: np.ndarray, waiting: np.ndarray
) -> np.ndarray:
    """Of a loop that leads to a net, the net that waits for fewest arcs."""
    earlier: dict[int, int] = {}
    while net not in earlier:
        starts = edges.start[before.arcs(np.array([net]))]
        earlier[net] = net = int(starts[~done[starts]][0])
    loop, first = [net], net
    while (net := earlier[net]) != first:
        loop.append(net)
    return np.array([min(loop, key=lambda one: (waiting[one], one))])
