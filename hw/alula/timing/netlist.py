"""Netlists as Yosys writes them, joined into one graph of nets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from alula.chips.arcs import Arc, Bits, Cell, Model

__all__ = ["Module", "Netlist", "Point", "UnknownCell"]


class UnknownCell(RuntimeError):
    """A netlist has a cell of which no delays are known."""


@dataclass(frozen=True)
class Point:
    """Where paths begin or end: a net, the delay there in ns, and a name for people."""

    net: int
    delay: float
    name: str


@dataclass
class Edges:
    """Arcs through cells, as columns that grow together; nets are numbers."""

    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    delay: list[float] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    direct: list[bool] = field(default_factory=list)

    def add(self, start: int, end: int, delay: float, levels: int, direct: bool) -> None:
        """One arc from net to net."""
        self.start.append(start)
        self.end.append(end)
        self.delay.append(delay)
        self.levels.append(levels)
        self.direct.append(direct)


class Module:
    """One module by itself: its nets are numbered from 0, those of placed modules left out.

    Raises:
        UnknownCell: no delays are known of a cell.
    """

    def __init__(
        self,
        name: str,
        text: Mapping[str, Any],
        models: Mapping[str, Model],
        others: frozenset[str],
    ) -> None:
        self.name = name
        self._numbers: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self.edges = Edges()
        self.sinks: list[int] = []
        self.starts: list[Point] = []
        self.ends: list[Point] = []
        self.children: list[tuple[str, str, dict[str, list[int]]]] = []
        self._name_nets(text)
        self.ports = {
            port: (value["direction"], self._nets(value["bits"]))
            for port, value in text["ports"].items()
        }
        for cell_name, value in text["cells"].items():
            cell = Cell(cell_name, value["type"], value["parameters"], value["connections"])
            if cell.kind in others:
                ports = {port: self._nets(bits) for port, bits in cell.ports.items()}
                self.children.append((cell.name, cell.kind, ports))
            elif cell.kind in models:
                self._add(cell, models[cell.kind](cell))
            else:
                raise UnknownCell(f"{name} must be made of known cells, not of {cell.kind}")

    @property
    def nets(self) -> int:
        """How many nets it has, those inside cells among them."""
        return len(self._numbers)

    def net_name(self, net: int) -> str:
        """What a net is called in the source."""
        return self._names.get(net, "?")

    def _name_nets(self, text: Mapping[str, Any]) -> None:
        known = sorted(text["netnames"].items(), key=lambda one: (one[1]["hide_name"], len(one[0])))
        for name, value in known:
            wide = len(value["bits"]) > 1
            for index, bit in enumerate(value["bits"]):
                if isinstance(bit, int):
                    label = f"{name}[{index}]" if wide else name
                    self._names.setdefault(self._net(bit), label)

    def _net(self, bit: int) -> int:
        return self._numbers.setdefault(bit, len(self._numbers))

    def _nets(self, bits: Bits) -> list[int]:
        """Numbers of nets; -1 for what is constant."""
        return [self._net(bit) if isinstance(bit, int) else -1 for bit in bits]

    def _add(self, cell: Cell, arcs: Iterable[Arc]) -> None:
        pins: set[tuple[str | None, int | None]] = set()
        for arc in arcs:
            inputs, outputs = (
                [net for net in self._nets(bits) if net >= 0] for bits in arc.nets(cell)
            )
            if (arc.start, arc.start_bit) not in pins:
                pins.add((arc.start, arc.start_bit))
                self.sinks += inputs
            if arc.start is None:
                self.starts += [Point(net, arc.delay, self.net_name(net)) for net in outputs]
            elif arc.end is None:
                where = self._place_of(cell, arc.start)
                self.ends += [Point(net, arc.delay, where) for net in inputs]
            else:
                self._through(arc, inputs, outputs)

    def _through(self, arc: Arc, inputs: list[int], outputs: list[int]) -> None:
        """All to all; where there are many, by way of a net inside the cell."""
        if len(inputs) == 1 or len(outputs) == 1:
            for start, end in product(inputs, outputs):
                self.edges.add(start, end, arc.delay, arc.levels, arc.direct)
            return
        inside = self._net(-1 - len(self._numbers))
        for net in inputs:
            self.edges.add(net, inside, arc.delay, arc.levels, arc.direct)
        for net in outputs:
            self.edges.add(inside, net, 0.0, 0, True)

    def _place_of(self, cell: Cell, port: str) -> str:
        """The register or memory that a cell is, and the port of it."""
        for output in ("Q", "P", "DOUTADOUT", "DOUTBDOUT", "DOUT_B", "DO"):
            nets = [net for net in self._nets(cell.ports.get(output, [])) if net >= 0]
            if nets:
                return f"{self.net_name(nets[0])} ({cell.kind}.{port})"
        return f"{cell.name} ({cell.kind}.{port})"


class Netlist:
    """Modules joined under one of them.

    Attributes:
        nets: how many there are.
        fanout: pins that each net feeds.
        start, end, delay, levels, direct: arcs, as numpy columns.
        starts, ends: where paths begin and end; those of the top's ports apart.
        inputs, outputs: nets of the top's ports by name.
    """

    def __init__(self, modules: Mapping[str, Module], top: str, alone: bool = False) -> None:
        self._modules, self._alone = modules, alone
        self.nets = 0
        self._same: list[tuple[int, int]] = []
        self._columns: list[tuple[np.ndarray, ...]] = []
        self._sinks: list[np.ndarray] = []
        self._points: tuple[list, list] = ([], [])
        self._owners: list[tuple[int, str, Module, np.ndarray]] = []
        chosen = modules[top]
        places = self._place(chosen, top, {})
        self.inputs: dict[str, np.ndarray] = {}
        self.outputs: dict[str, np.ndarray] = {}
        for port, (direction, nets) in chosen.ports.items():
            side = self.inputs if direction == "input" else self.outputs
            side[port] = places[[net for net in nets if net >= 0]]
        self._join()

    def _place(self, module: Module, path: str, given: Mapping[int, int]) -> np.ndarray:
        """Give a module's nets their numbers; `given` are those that its parent has numbered."""
        places = np.arange(self.nets, self.nets + module.nets, dtype=np.int64)
        self.nets += module.nets
        for net, outer in given.items():
            places[net] = outer
        edges = module.edges
        index = places if module.nets else np.zeros(1, np.int64)
        columns = (
            index[np.array(edges.start, np.int64)],
            index[np.array(edges.end, np.int64)],
            np.array(edges.delay, np.float64),
            np.array(edges.levels, np.int64),
            np.array(edges.direct, np.bool_),
        )
        self._columns.append(columns)
        self._sinks.append(index[np.array(module.sinks, np.int64)])
        for side, points in zip(self._points, (module.starts, module.ends), strict=True):
            side += [(int(places[point.net]), point.delay, path, point.name) for point in points]
        self._owners.append((len(self._owners), path, module, places))
        for name, kind, ports in module.children:
            self._child(f"{path}.{name}", self._modules[kind], ports, places)
        return places

    def _child(
        self, path: str, child: Module, ports: Mapping[str, list[int]], places: np.ndarray
    ) -> None:
        inner: dict[int, int] = {}
        for port, outer in ports.items():
            direction, nets = child.ports[port]
            if self._alone:
                side = self._points[direction == "input"]
                known = [int(places[net]) for net in outer if net >= 0]
                side += [(net, 0.0, path, port) for net in known]
                if direction == "input":
                    self._sinks.append(np.array(known, np.int64))
                continue
            for net, above in zip(nets, outer, strict=True):
                if net < 0 or above < 0:
                    continue
                if net in inner:
                    self._same.append((inner[net], int(places[above])))
                else:
                    inner[net] = int(places[above])
        if not self._alone:
            self._place(child, path, inner)

    def _join(self) -> None:
        """Nets that a module joins get one number."""
        place = {}

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
        start, end, delay, levels, direct = (
            np.concatenate(column) for column in zip(*self._columns, strict=True)
        )
        self.start, self.end = table[start], table[end]
        self.delay, self.levels, self.direct = delay, levels, direct
        self.fanout = np.bincount(table[np.concatenate(self._sinks)], minlength=self.nets)
        for ports in (self.inputs, self.outputs):
            for port in ports:
                ports[port] = table[ports[port]]
        self.starts, self.ends = (
            [Point(int(table[net]), delay, f"{path}.{name}") for net, delay, path, name in side]
            for side in self._points
        )

    def name_of(self, net: int) -> str:
        """A net's path and name, by search."""
        for _, path, module, places in self._owners:
            found = np.flatnonzero(places == net)
            if found.size:
                return f"{path}.{module.net_name(int(found[0]))}"
        return "?"
