"""Paths from port to port without a register: they go on in whatever is at both ends."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from alula.timing.netlist import Netlist


@dataclass(frozen=True)
class Through:
    """A combinational path through a module: its ports, and the most LUT levels between them."""

    start: str
    end: str
    levels: int


def through(netlist: Netlist) -> tuple[Through, ...]:
    """Return the combinational paths between a netlist's ports, those with most levels first."""
    edges, order = netlist.edges, _between(netlist)
    found = []
    for port, nets in netlist.inputs.items():
        depth = np.full(netlist.nets, -np.inf)
        depth[nets] = 0
        for arcs in order:
            reached = depth[edges.start[arcs]] + edges.levels[arcs]
            np.maximum.at(depth, edges.end[arcs], reached)
        for other, targets in netlist.outputs.items():
            levels = depth[targets].max(initial=-np.inf)
            if np.isfinite(levels):
                found.append(Through(port, other, int(levels)))
    return tuple(sorted(found, key=lambda one: (-one.levels, one.start, one.end)))


def _between(netlist: Netlist) -> list[np.ndarray]:
    """The waves of arcs that lie between an input and an output: few of all."""
    edges = netlist.edges
    ahead, behind = (np.zeros(netlist.nets, np.bool_) for _ in range(2))
    _mark(ahead, netlist.inputs.values())
    _mark(behind, netlist.outputs.values())
    for arcs in netlist.order:
        ahead[edges.end[arcs[ahead[edges.start[arcs]]]]] = True
    for arcs in reversed(netlist.order):
        behind[edges.start[arcs[behind[edges.end[arcs]]]]] = True
    found = [arcs[ahead[edges.start[arcs]] & behind[edges.end[arcs]]] for arcs in netlist.order]
    return [arcs for arcs in found if arcs.size]


def _mark(nets: np.ndarray, ports: Iterable[np.ndarray]) -> None:
    for port in ports:
        nets[port] = True
