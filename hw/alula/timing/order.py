"""Arcs of a netlist in the order in which signals run through them."""

from __future__ import annotations

import numpy as np

from alula.timing.netlist import Netlist

__all__ = ["waves"]


def waves(netlist: Netlist) -> tuple[list[np.ndarray], int]:
    """Return arcs in waves, each after all that lead to its starts; and how many are left out.

    What is left out closes a loop. Such loops are false: nothing here keeps its value in one.
    """
    by_start = np.argsort(netlist.start, kind="stable")
    first = np.searchsorted(netlist.start[by_start], np.arange(netlist.nets + 1))
    waiting = np.bincount(netlist.end, minlength=netlist.nets)
    done = np.zeros(netlist.nets, np.bool_)
    ready = np.flatnonzero(waiting == 0)
    found, left_out = [], 0
    while True:
        done[ready] = True
        arcs = by_start[_ranges(first[ready], first[ready + 1])]
        arcs_kept = arcs[~done[netlist.end[arcs]]]
        left_out += arcs.size - arcs_kept.size
        if arcs_kept.size:
            found.append(arcs_kept)
        ends = netlist.end[arcs_kept]
        np.subtract.at(waiting, ends, 1)
        ready = np.unique(ends[waiting[ends] == 0])
        if not ready.size:
            stuck = np.flatnonzero(~done)
            if not stuck.size:
                return found, left_out
            # A net of a loop goes on with what has reached it.
            ready = _in_a_loop(netlist, int(stuck[0]), done, waiting)


def _in_a_loop(netlist: Netlist, net: int, done: np.ndarray, waiting: np.ndarray) -> np.ndarray:
    """Of a loop that leads to a net, the net that waits for fewest arcs."""
    before = {}
    while net not in before:
        (arcs,) = np.nonzero((netlist.end == net) & ~done[netlist.start])
        before[net] = net = int(netlist.start[arcs[0]])
    loop, first = [net], net
    while (net := before[net]) != first:
        loop.append(net)
    return np.array([min(loop, key=lambda one: (waiting[one], one))])


def _ranges(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The numbers from each start to before its stop, one range behind the other."""
    lengths = stop - start
    before = np.concatenate(([0], np.cumsum(lengths)))[:-1]
    return np.arange(lengths.sum()) - np.repeat(before - start, lengths)
