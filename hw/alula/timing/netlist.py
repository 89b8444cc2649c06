"""Modules joined into one graph of nets."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from alula.timing.graph import Edges, waves
from alula.timing.module import Child, Module, Points


@dataclass(frozen=True)
class _Placed:
    """A module in its place: its path, and the number that each of its nets has."""

    path: str
    module: Module
    nets: np.ndarray


@dataclass(frozen=True)
class _Named:
    """Points in a place, and what tells name and line of each by its label."""

    points: Points
    name: Callable[[int], str]
    line: Callable[[int], str | None]


class Netlist:
    """Modules joined under one of them.

    Args:
        modules: by name.
        top: name of the one that all is under.
        alone: what is placed in the top is left out: paths end and begin at its ports.

    Attributes:
        nets: how many there are.
        edges: arcs between them.
        fanout: pins that each net feeds.
        loops: arcs left out since they close a loop.
        starts, ends: where paths begin and end; those of the top's ports apart.
        inputs, outputs: nets of the top's ports by name.
    """

    def __init__(self, modules: Mapping[str, Module], top: str, alone: bool = False) -> None:
        self._modules, self._alone = modules, alone
        self.nets, self.loops = 0, 0
        self._same: list[tuple[int, int]] = []
        self._edges: list[Edges] = []
        self._sinks: list[np.ndarray] = []
        self._places: list[_Placed] = []
        self._points: tuple[list[_Named], list[_Named]] = ([], [])
        places = self._place(modules[top], top, {})
        table = self._joined()
        every = Edges.joined(self._edges)
        self.edges = Edges(
            table[every.start], table[every.end], every.delay, every.levels, every.direct
        )
        sinks = np.concatenate([np.zeros(0, np.int64), *self._sinks])
        self.fanout = np.bincount(table[sinks], minlength=self.nets)
        self.starts, self.ends = (self._columns(side, table) for side in self._points)
        sides: dict[str, dict[str, np.ndarray]] = {"input": {}, "output": {}}
        for port, (direction, nets) in modules[top].ports.items():
            sides[direction][port] = table[places[nets[nets >= 0]]]
        self.inputs, self.outputs = sides["input"], sides["output"]

    @cached_property
    def order(self) -> list[np.ndarray]:
        """Arcs in waves, each after all that lead to its starts."""
        order, left_out = waves(self.edges, self.nets)
        self.loops += left_out
        return order

    def _place(self, module: Module, path: str, given: Mapping[int, int]) -> np.ndarray:
        """Give a module's nets their numbers; `given` are those that its parent has numbered."""
        places = np.arange(self.nets, self.nets + module.nets, dtype=np.int64)
        self._places.append(_Placed(path, module, places))
        self.nets += module.nets
        self.loops += module.loops
        for net, outer in given.items():
            places[net] = outer
        edges = module.edges
        self._edges.append(
            Edges(places[edges.start], places[edges.end], edges.delay, edges.levels, edges.direct)
        )
        self._sinks.append(places[module.sinks])
        for side, points in zip(self._points, (module.starts, module.ends), strict=True):
            side.append(
                _Named(
                    Points(places[points.net], points.delay, points.label),
                    lambda label: f"{path}.{module.end_name(label)}",
                    module.end_line,
                )
            )
        for child in module.children:
            if self._alone:
                self._cut(child, path, places)
            else:
                self._child(child, path, places)
        return places

    def _cut(self, child: Child, path: str, places: np.ndarray) -> None:
        """Paths end at a child's inputs and begin at its outputs."""
        module = self._modules[child.module]
        for port, outer in child.ports.items():
            ends = module.ports[port][0] == "input"
            nets = places[outer[outer >= 0]]
            zeros = np.zeros(nets.size)
            name, line = f"{path}.{child.name}.{port}", module.line_of(port)
            points = Points(nets, zeros, zeros.astype(np.int64))
            self._points[ends].append(
                _Named(points, lambda label, name=name: name, lambda label, line=line: line)
            )
            if ends:
                self._sinks.append(nets)

    def _child(self, child: Child, path: str, places: np.ndarray) -> None:
        module, inner = self._modules[child.module], {}
        for port, outer in child.ports.items():
            for net, above in zip(module.ports[port][1].tolist(), outer.tolist(), strict=True):
                if net < 0 or above < 0:
                    continue
                if net in inner:
                    self._same.append((inner[net], int(places[above])))
                else:
                    inner[net] = int(places[above])
        self._place(module, f"{path}.{child.name}", inner)

    def _joined(self) -> np.ndarray:
        """Return the number of each net: those that a module joins have one."""
        place: dict[int, int] = {}

        def root(net: int) -> int:
            while net in place:
                net = place[net]
            return net

        for one, other in self._same:
            a, b = root(one), root(other)
            if a != b:
                place[b] = a
        table = np.arange(self.nets, dtype=np.int64)
        for net in place:
            table[net] = root(net)
        return table

    def _columns(self, parts: list[_Named], table: np.ndarray) -> Points:
        """All points; a label is a place in the columns and is told apart by `end`."""
        net = np.concatenate([np.zeros(0, np.int64), *(part.points.net for part in parts)])
        delay = np.concatenate([np.zeros(0), *(part.points.delay for part in parts)])
        return Points(table[net], delay, np.arange(net.size))

    def end(self, index: int) -> tuple[str, str | None]:
        """What an end of a path is called, and the line of its source."""
        for part in self._points[1]:
            if index < part.points.net.size:
                label = int(part.points.label[index])
                return part.name(label), part.line(label)
            index -= part.points.net.size
        raise IndexError(index)

    def net(self, net: int) -> tuple[str, str | None]:
        """A net's path and name, and the line of its source."""
        index = bisect_right(self._firsts, net) - 1
        place = self._places[index]
        name = place.module.net_name(net - self._firsts[index])
        return f"{place.path}.{name}", place.module.line_of(name)

    @cached_property
    def _firsts(self) -> list[int]:
        """The lowest number of each place's nets."""
        return np.cumsum([0, *(place.module.nets for place in self._places[:-1])]).tolist()
