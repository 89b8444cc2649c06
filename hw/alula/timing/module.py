"""One module of a netlist as Yosys writes it: its arcs, and where paths begin and end."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType
from typing import Any

import numpy as np

from alula.chips.arcs import Arc, Bits, Cell, DelayModel
from alula.timing.graph import Edges, waves


class UnknownCell(RuntimeError):
    """A netlist has a cell, or uses a pin of one, of which no delays are known."""


@dataclass(frozen=True)
class Points:
    """Where paths begin or end, as columns: net, delay there in ns, and a number for `labels`."""

    net: np.ndarray
    delay: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Child:
    """A module placed in another: its name there, its module, and the nets at its ports."""

    name: str
    module: str
    ports: Mapping[str, np.ndarray]


class Module:
    """One module by itself: what is placed in it is left out. Nets have Yosys' numbers.

    Args:
        name: the module's.
        text: what Yosys writes of it: ports, cells, netnames.
        models: what is known of each kind of cell.
        others: names of modules: cells of these kinds are placed modules.
        lines: by name of a signal or memory the line of its source.

    Attributes:
        nets: above the largest number; those inside cells have numbers of their own.
        ports: direction and nets of each port; -1 is a constant.
        children: the modules placed in it.
        edges: arcs between nets, but for those that close a loop.
        loops: how many those are.
        starts, ends: where paths begin and end.
        sinks: nets, once for each pin that they feed.

    Raises:
        UnknownCell: no delays are known of a cell, or of a pin that is connected.
    """

    def __init__(
        self,
        name: str,
        text: Mapping[str, Any],
        models: Mapping[str, DelayModel],
        others: frozenset[str],
        lines: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.name, self._lines = name, lines
        self._netnames = text["netnames"]
        self.ports = {
            port: (value["direction"], _nets(value["bits"]))
            for port, value in text["ports"].items()
        }
        self.children: list[Child] = []
        alike: dict[tuple[object, ...], list[Cell]] = {}
        for cell_name, value in text["cells"].items():
            cell = Cell(cell_name, value["type"], value["parameters"], value["connections"])
            if cell.kind in others:
                ports = {port: _nets(bits) for port, bits in cell.ports.items()}
                self.children.append(Child(cell_name, cell.kind, ports))
            elif cell.kind in models:
                alike.setdefault(cell.shape, []).append(cell)
            else:
                raise UnknownCell(f"{name} must be made of known cells, not of {cell.kind}")
        groups = [_Alike(cells, models[cells[0].kind]) for cells in alike.values()]
        self._gather(groups)
        self._check_pins(groups)

    def _gather(self, groups: "list[_Alike]") -> None:
        """Join what groups of cells are to timing, and break the loops among them."""
        used = [nets for _, nets in self.ports.values()]
        used += [nets for child in self.children for nets in child.ports.values()]
        used += [group.pins.ravel() for group in groups]
        self.nets = 1 + int(max((nets.max(initial=-1) for nets in used), default=-1))
        self._uses = np.bincount(_known(used), minlength=self.nets)
        # The cells' outputs name what is behind an end: by number of the cell and of the port.
        self._cells = [cell for group in groups for cell in group.cells]
        self._outputs = [group.clocked for group in groups for _ in group.cells]
        self._end_ports: list[str] = []
        edges, starts, ends = [], [], []
        first = 0
        for group in groups:
            edges.append(group.edges(self.nets))
            self.nets += group.inside
            starts.append(group.starts())
            ends.append(group.ends(first, self._end_ports))
            first += len(group.cells)
        self.sinks = _known([group.sinks() for group in groups])
        self.starts, self.ends = _points(starts), _points(ends)
        every = Edges.joined(edges)
        order, self.loops = waves(every, self.nets)
        self.edges = every.chosen(np.sort(np.concatenate([np.zeros(0, np.int64), *order])))

    def _check_pins(self, groups: "list[_Alike]") -> None:
        for group in groups:
            for position, (port, _) in enumerate(group.pin_names):
                nets = group.pins[:, position]
                # What nothing else is connected to is an output that is not used.
                if position not in group.covered and (self._uses[nets[nets >= 0]] > 1).any():
                    pin = f"{group.cells[0].kind}.{port}"
                    raise UnknownCell(f"{self.name} must use pins of known delay, not {pin}")

    @cached_property
    def _names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for name, value in sorted(
            self._netnames.items(), key=lambda one: (one[1]["hide_name"], len(one[0]))
        ):
            wide = len(value["bits"]) > 1
            for index, bit in enumerate(value["bits"]):
                if isinstance(bit, int):
                    names.setdefault(bit, f"{name}[{index}]" if wide else name)
        return names

    def net_name(self, net: int) -> str:
        """What a net is called in the source."""
        return self._names.get(net, "?")

    def end_name(self, label: int) -> str:
        """The register or memory where a path ends, and the pin of it."""
        index, port = divmod(label, _PORTS)
        return f"{self._name_of(index)} ({self._cells[index].kind}.{self._end_ports[port]})"

    def end_line(self, label: int) -> str | None:
        """The line of the source where the register or memory is made in which a path ends."""
        return self.line_of(self._name_of(label // _PORTS))

    def line_of(self, name: str) -> str | None:
        """The line of a signal or memory; of a memory each part has a number."""
        name = _INDEX.sub("", name.removeprefix("\\"))
        return self._lines.get(name) or self._lines.get(_PART.sub("", name))

    def _name_of(self, index: int) -> str:
        """What a cell holds, by what is connected to it, or else its own name."""
        cell = self._cells[index]
        bits = (bit for output in self._outputs[index] for bit in cell.ports[output])
        net = next((bit for bit in bits if isinstance(bit, int)), -1)
        name = self._names.get(net, _MADE)
        return cell.name if _MADE in name else name


_INDEX = re.compile(r"\[\d+\]$")
_PART = re.compile(r"(\.\d+)+$")
_MADE = "$auto$"
"""In names that Yosys makes up."""
_PORTS = 1 << 16
"""Labels of ends: the cell's number times this, plus the port's."""


class _Alike:
    """Cells of one shape: a row of `pins` for each, with the same arcs between its columns."""

    def __init__(self, cells: list[Cell], model: DelayModel) -> None:
        self.cells = cells
        first = cells[0]
        self.pin_names = [
            (port, bit) for port, bits in first.ports.items() for bit in range(len(bits))
        ]
        rows = [[bit for bits in cell.ports.values() for bit in bits] for cell in cells]
        self.pins = _nets([bit for row in rows for bit in row]).reshape(len(cells), -1)
        place = {pin: position for position, pin in enumerate(self.pin_names)}

        def positions(port: str | None, bit: int | None) -> list[int]:
            chosen = range(len(first.ports.get(port or "", ()))) if bit is None else (bit,)
            return [place[port, bit] for bit in chosen if (port, bit) in place] if port else []

        self._through: list[tuple[int, int, Arc]] = []
        self._wide: list[tuple[list[int], list[int], Arc]] = []
        self._begin: list[tuple[int, Arc]] = []
        self._end: list[tuple[int, Arc]] = []
        fed: set[int] = set()
        self.covered = {place[pin] for pin in place if pin[0] in model.clocks}
        for arc in model.arcs(first):
            inputs, outputs = positions(arc.start, arc.start_bit), positions(arc.end, arc.end_bit)
            fed.update(inputs)
            self.covered.update(inputs, outputs)
            if arc.start is None:
                self._begin += [(output, arc) for output in outputs]
            elif arc.end is None:
                self._end += [(pin, arc) for pin in inputs]
            elif len(inputs) == 1 or len(outputs) == 1:
                self._through += [(pin, output, arc) for pin, output in product(inputs, outputs)]
            elif inputs and outputs:
                self._wide.append((inputs, outputs, arc))
        self._fed = sorted(fed)
        self.clocked = tuple(dict.fromkeys(arc.end for _, arc in self._begin if arc.end))
        self.inside = len(self._wide) * len(cells)
        """Nets within the cells: where all inputs lead to all outputs, by way of one of these."""

    def edges(self, inside: int) -> Edges:
        """Arcs from net to net; those within cells have numbers from `inside` on."""
        found = [
            self._edges(
                self.pins[:, [pin for pin, _, _ in self._through]],
                self.pins[:, [output for _, output, _ in self._through]],
                [arc for _, _, arc in self._through],
            )
        ]
        for inputs, outputs, arc in self._wide:
            within = np.arange(inside, inside + len(self.cells))[:, None]
            inside += len(self.cells)
            after = Arc(arc.start, arc.end, 0.0, direct=True)
            for start, end, kind in (
                (self.pins[:, inputs], within, arc),
                (within, self.pins[:, outputs], after),
            ):
                start, end = np.broadcast_arrays(start, end)
                found.append(self._edges(start, end, [kind] * start.shape[1]))
        return Edges.joined(found)

    def _edges(self, start: np.ndarray, end: np.ndarray, arcs: Iterable[Arc]) -> Edges:
        columns = [(arc.delay, arc.levels, arc.direct) for arc in arcs]
        wide = np.array(columns, np.float64).reshape(-1, 3)
        delay, levels, direct = (np.broadcast_to(column, start.shape).ravel() for column in wide.T)
        edges = Edges(
            start.ravel(), end.ravel(), delay, levels.astype(np.int64), direct.astype(np.bool_)
        )
        return edges.chosen(np.flatnonzero((edges.start >= 0) & (edges.end >= 0)))

    def starts(self) -> Points:
        """Where paths begin."""
        net = self.pins[:, [pin for pin, _ in self._begin]]
        delay = np.broadcast_to([arc.delay for _, arc in self._begin], net.shape)
        return _present(net, delay, np.zeros(net.shape, np.int64))

    def ends(self, first: int, ports: list[str]) -> Points:
        """Where paths end; the cells' numbers begin with `first`, and names of ports are added."""
        net = self.pins[:, [pin for pin, _ in self._end]]
        delay = np.broadcast_to([arc.delay for _, arc in self._end], net.shape)
        names = [self.pin_names[pin][0] for pin, _ in self._end]
        ports += [name for name in dict.fromkeys(names) if name not in ports]
        cells = np.arange(first, first + len(self.cells), dtype=np.int64)[:, None]
        label = cells * _PORTS + np.array([ports.index(name) for name in names], np.int64)
        return _present(net, delay, label)

    def sinks(self) -> np.ndarray:
        """Nets, once for each pin that they feed."""
        return self.pins[:, self._fed].ravel()


def _nets(bits: Bits) -> np.ndarray:
    """Numbers of nets; -1 for what is constant."""
    return np.array([bit if isinstance(bit, int) else -1 for bit in bits], np.int64)


def _known(columns: list[np.ndarray]) -> np.ndarray:
    """All nets of some columns, constants left out."""
    every = np.concatenate([np.zeros(0, np.int64), *columns])
    return every[every >= 0]


def _present(net: np.ndarray, delay: np.ndarray, label: np.ndarray) -> Points:
    known = net.ravel() >= 0
    return Points(net.ravel()[known], delay.ravel()[known], label.ravel()[known])


def _points(parts: list[Points]) -> Points:
    empty = Points(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
    every = [empty, *parts]
    return Points(
        np.concatenate([part.net for part in every]),
        np.concatenate([part.delay for part in every]),
        np.concatenate([part.label for part in every]),
    )
