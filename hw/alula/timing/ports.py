"""Paths from port to port without a register: they go on in whatever is at both ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from alula.timing.netlist import Netlist
from alula.timing.order import waves

__all__ = ["Through", "through"]


@dataclass(frozen=True)
class Through:
    """A combinational path through a module: its ports, and the most LUT levels between them."""

    start: str
    end: str
    levels: int


def through(netlist: Netlist) -> tuple[Through, ...]:
    """Return the combinational paths between a netlist's ports, those with most levels first."""
    order, _ = waves(netlist)
    found = []
    for port, nets in netlist.inputs.items():
        depth = np.full(netlist.nets, -np.inf)
        depth[nets] = 0
        for arcs in order:
            reached = depth[netlist.start[arcs]] + netlist.levels[arcs]
            np.maximum.at(depth, netlist.end[arcs], reached)
        for other, targets in netlist.outputs.items():
            levels = depth[targets].max(initial=-np.inf)
            if np.isfinite(levels):
                found.append(Through(port, other, int(levels)))
    return tuple(sorted(found, key=lambda one: (-one.levels, one.start, one.end)))
