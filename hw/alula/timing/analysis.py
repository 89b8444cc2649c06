"""Longest paths between registers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from alula.chips.nets import Nets
from alula.timing.netlist import Netlist


@dataclass(frozen=True)
class TimingPath:
    """A path.

    Attributes:
        start, end: names of where it begins and ends.
        ns: with setup and uncertainty.
        levels: LUT levels.
        source: lines where the two are made, FILE:LINE; None if that is not known.
        through: names of the nets between.
    """

    start: str
    end: str
    ns: float
    levels: int
    source: tuple[str | None, str | None] = (None, None)
    through: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetlistTiming:
    """What a netlist takes by the estimate.

    Attributes:
        levels: LUT levels of the path that has most.
        ns: of the longest path, with setup and uncertainty.
        endpoints: where paths end.
        endpoints_over: those above the period that was asked for.
        loops: arcs left out since they close a loop.
        paths: the worst, each to another register.
    """

    levels: int
    ns: float
    endpoints: int
    endpoints_over: int
    loops: int
    paths: tuple[TimingPath, ...]

    @property
    def mhz(self) -> float:
        """The clock that the longest path allows."""
        return 1000 / self.ns


def analyse(netlist: Netlist, period: float, nets: Nets, most: int = 10) -> NetlistTiming:
    """Return the timing of a netlist.

    Args:
        netlist: what to look at.
        period: ns.
        nets: the net model.
        most: paths to name.
    """
    wires = nets.base + nets.slope * np.log2(np.maximum(netlist.fanout, 1))
    run = _Run(netlist, wires)
    net = netlist.ends.net
    late = run.arrival[net] + wires[net] + netlist.ends.delay + nets.uncertainty
    reached = np.isfinite(late)
    return NetlistTiming(
        levels=int(run.depth[net[reached]].max(initial=0)),
        ns=float(late[reached].max(initial=0)),
        endpoints=int(reached.sum()),
        endpoints_over=int((late[reached] > period).sum()),
        loops=netlist.loops,
        paths=tuple(run.worst(late, most)),
    )


class _Run:
    """Latest arrival at each net, the arc by which it comes (-1: it begins there), most levels."""

    def __init__(self, netlist: Netlist, wires: np.ndarray) -> None:
        self.netlist, edges = netlist, netlist.edges
        start, end = edges.start, edges.end
        cost = edges.delay + np.where(edges.direct, 0, wires[start])
        self.arrival = np.full(netlist.nets, -np.inf)
        np.maximum.at(self.arrival, netlist.starts.net, netlist.starts.delay)
        self.depth = np.where(np.isfinite(self.arrival), 0.0, -np.inf)
        self.back = np.full(netlist.nets, -1, np.int64)
        for arcs in netlist.order:
            to, at = end[arcs], self.arrival[start[arcs]] + cost[arcs]
            later = at > self.arrival[to]
            np.maximum.at(self.arrival, to, at)
            here = later & (at == self.arrival[to])
            self.back[to[here]] = arcs[here]
            np.maximum.at(self.depth, to, self.depth[start[arcs]] + edges.levels[arcs])

    def worst(self, late: np.ndarray, most: int) -> Iterator[TimingPath]:
        """The paths that end last, by `late` of each end, to registers of different names."""
        if not most:
            return
        netlist, edges, seen = self.netlist, self.netlist.edges, set()
        for index in np.argsort(-np.where(np.isfinite(late), late, -1), kind="stable"):
            if len(seen) == most or not np.isfinite(late[index]):
                return
            end, end_line = netlist.end(int(index))
            register = end.partition("[")[0]
            if register in seen:
                continue
            seen.add(register)
            route, levels = [int(netlist.ends.net[index])], 0
            while (arc := self.back[route[-1]]) >= 0:
                levels += int(edges.levels[arc])
                route.append(int(edges.start[arc]))
            (start, line), *between = (netlist.net(net) for net in reversed(route))
            # Nets within a cell have no name.
            through = tuple(name for name, _ in between if not name.endswith("?"))
            yield TimingPath(start, end, float(late[index]), levels, (line, end_line), through)
