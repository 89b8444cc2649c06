"""Static timing on netlists that are small enough to reckon by hand."""

import math
from typing import Any

import pytest

from alula.chips import FAMILIES
from alula.chips.arcs import Cell, number
from alula.chips.ultrascale_delays import DELAYS, NETS
from alula.timing import Module, Netlist, Through, UnknownCell, analyse, through

PERIOD = 1000 / 300
TYPICAL = NETS["typical"]


def cell(kind: str, parameters: dict[str, str] | None = None, **ports: Any) -> dict[str, Any]:
    bits = {port: value if isinstance(value, list) else [value] for port, value in ports.items()}
    return {"type": kind, "parameters": parameters or {}, "connections": bits}


def module(name: str, cells: dict[str, Any], others: tuple[str, ...] = (), **ports: Any) -> Module:
    """A module; a port is ("input", bits) or ("output", bits)."""
    nets = {
        bit
        for one in cells.values()
        for bits in one["connections"].values()
        for bit in bits
        if isinstance(bit, int)
    } | {bit for _, bits in ports.values() for bit in bits}
    text = {
        "ports": {port: {"direction": side, "bits": bits} for port, (side, bits) in ports.items()},
        "cells": cells,
        "netnames": {f"n{net}": {"hide_name": 0, "bits": [net]} for net in sorted(nets)},
    }
    return Module(name, text, DELAYS, frozenset(others))


def chain(levels: int) -> dict[str, Any]:
    """A register, inverters one behind the other, and a register."""
    cells = {"first": cell("FDRE", Q=10, D="0", CE="1", R="0")}
    for level in range(levels):
        cells[f"lut{level}"] = cell("LUT1", I0=10 + level, O=11 + level)
    cells["last"] = cell("FDRE", Q=5, D=10 + levels, CE="1", R="0")
    return cells


def timing(modules: dict[str, Module], top: str, nets=TYPICAL):
    return analyse(Netlist(modules, top), PERIOD, nets)


@pytest.mark.parametrize("nets", NETS.values(), ids=NETS)
def test_a_chain_takes_its_cells_and_nets(nets) -> None:
    found = timing({"top": module("top", chain(4))}, "top", nets=nets)
    assert found.levels == 4
    assert found.ns == pytest.approx(0.077 + 4 * 0.035 + 5 * nets.base + 0.075 + nets.uncertainty)
    assert found.mhz == pytest.approx(1000 / found.ns)
    assert (found.endpoints, found.endpoints_over, found.loops) == (1, 0, 0)
    (path,) = found.paths
    assert (path.start, path.end, path.levels) == ("top.n10", "top.n5 (FDRE.D)", 4)


def test_it_grows_with_levels_and_with_the_setting() -> None:
    found = [
        [timing({"top": module("top", chain(levels))}, "top", nets=nets).ns for levels in range(12)]
        for nets in (NETS["fast"], TYPICAL, NETS["slow"])
    ]
    for row in found:
        assert row == sorted(row)
    for column in zip(*found, strict=True):
        assert list(column) == sorted(column)


def test_fan_out_costs() -> None:
    cells = chain(1)
    for extra in range(7):
        cells[f"more{extra}"] = cell("FDRE", Q=40 + extra, D=11, CE="1", R="0")
    found = timing({"top": module("top", cells)}, "top")
    one = timing({"top": module("top", chain(1))}, "top")
    assert found.ns - one.ns == pytest.approx(TYPICAL.slope * math.log2(8))
    assert found.endpoints == 8


def test_endpoints_above_the_period_are_counted() -> None:
    found = timing({"top": module("top", chain(20))}, "top")
    assert found.ns > PERIOD
    assert found.endpoints_over == 1


def test_a_loop_is_broken_and_counted() -> None:
    cells = chain(2)
    cells["lut0"] = cell("LUT2", I0=10, I1=12, O=11)
    found = timing({"top": module("top", cells)}, "top")
    assert found.loops == 1
    assert found.levels == 2


def test_carries_are_no_levels() -> None:
    cells = {
        "first": cell("FDRE", Q=10, D="0", CE="1", R="0"),
        "a": cell("CARRY4", CI="0", CYINIT="0", S=[10, "0", "0", "0"], DI=["0"] * 4,
                  CO=[20, 21, 22, 23], O=[24, 25, 26, 27]),
        "b": cell("CARRY4", CI=23, CYINIT="0", S=["0"] * 4, DI=["0"] * 4,
                  CO=[30, 31, 32, 33], O=[34, 35, 36, 37]),
        "last": cell("FDRE", Q=5, D=37, CE="1", R="0"),
    }  # fmt: skip
    found = timing({"top": module("top", cells)}, "top")
    assert found.levels == 0
    # The wire between two carries is their own.
    assert found.ns == pytest.approx(0.077 + 2 * 0.25 + 0.186 + 0.082 + 0.075 + 0.1)


def test_a_path_has_the_lines_of_its_registers() -> None:
    cells = chain(1)
    del cells["last"]
    # What Yosys made up has no line; then the memory's name says it.
    cells["values.0.1"] = cell("RAMB36E2", DOUTADOUT=[5], DINADIN=[11])
    text = {
        "ports": {},
        "cells": cells,
        "netnames": {
            "\\a$1": {"hide_name": 0, "bits": [10, 30]},
            "$auto$7": {"hide_name": 1, "bits": [5]},
        },
    }
    lines = {"a$1": "alula/one.py:3", "values": "alula/two.py:5"}
    top = Module("top", text, DELAYS, frozenset(), lines)
    (path,) = timing({"top": top}, "top").paths
    assert (path.start, path.end) == ("top.\\a$1[0]", "top.values.0.1 (RAMB36E2.DINADIN)")
    assert path.source == ("alula/one.py:3", "alula/two.py:5")
    (path,) = timing({"top": Module("top", text, DELAYS, frozenset())}, "top").paths
    assert path.source == (None, None)


def test_a_memory_with_an_output_register_is_faster() -> None:
    def behind(register: str) -> float:
        cells = {
            "memory": cell("RAMB36E2", {"DOA_REG": register}, DOUTADOUT=[10]),
            "last": cell("FDRE", Q=5, D=10, CE="1", R="0"),
        }
        return timing({"top": module("top", cells)}, "top").ns

    assert behind("0") - behind("1") == pytest.approx(1.003 - 0.229)


def test_a_dsp_without_registers_is_part_of_the_path() -> None:
    registers = dict.fromkeys(("AREG", "BREG", "MREG", "PREG"), "0")
    cells = {
        "first": cell("FDRE", Q=10, D="0", CE="1", R="0"),
        "dsp": cell("DSP48E2", registers, A=[10], B=["0"], P=[11, 12]),
        "last": cell("FDRE", Q=5, D=12, CE="1", R="0"),
    }
    found = timing({"top": module("top", cells)}, "top")
    assert found.ns == pytest.approx(0.077 + 0.25 + 1.559 + 0.25 + 0.075 + 0.1)


def test_modules_are_joined_through_their_ports() -> None:
    inner = module(
        "inner",
        {"lut": cell("LUT1", I0=2, O=3)},
        i=("input", [2]),
        o=("output", [3]),
        same=("output", [2]),
    )
    cells = {
        "first": cell("FDRE", Q=10, D="0", CE="1", R="0"),
        "a": cell("inner", i=10, o=11, same=20),
        "b": cell("inner", i=20, o=12, same=21),
        "last": cell("FDRE", Q=5, D=12, CE="1", R="0"),
        "other": cell("FDRE", Q=6, D=11, CE="1", R="0"),
    }
    modules = {"top": module("top", cells, ("inner",)), "inner": inner}
    whole = timing(modules, "top")
    # Net 20 is net 10: two look-up tables hang on it.
    assert whole.ns == pytest.approx(0.077 + (0.25 + 0.06) + 0.035 + 0.25 + 0.075 + 0.1)
    assert whole.endpoints == 2
    alone = analyse(Netlist(modules, "top", alone=True), PERIOD, TYPICAL)
    assert alone.ns < whole.ns


def test_ports_without_a_register_between() -> None:
    cells = {
        "a": cell("LUT2", I0=2, I1=3, O=10),
        "b": cell("LUT1", I0=10, O=4),
        "register": cell("FDRE", Q=5, D=10, CE="1", R="0"),
    }
    ports = {"x": ("input", [2]), "y": ("input", [3]), "z": ("output", [4]), "q": ("output", [5])}
    top = module("top", cells, **ports)
    assert through(Netlist({"top": top}, "top")) == (Through("x", "z", 2), Through("y", "z", 2))


def test_a_cell_that_is_not_known_is_an_error() -> None:
    with pytest.raises(UnknownCell, match="top must be made of known cells, not of LUT9"):
        module("top", {"lut": cell("LUT9", I0=2, O=3)})


def test_a_pin_that_is_not_known_is_an_error() -> None:
    cells = chain(1)
    cells["last"] = cell("FDRE", Q=5, D=11, CE="1", R="0", SCAN="0")
    module("top", cells)
    cells["last"] = cell("FDRE", Q=5, D=11, CE="1", R="0", SCAN=10)
    with pytest.raises(UnknownCell, match=r"^top must use pins of known delay, not FDRE.SCAN$"):
        module("top", cells)


def test_a_clock_is_no_path() -> None:
    cells = chain(1)
    cells["first"]["connections"]["C"] = cells["last"]["connections"]["C"] = [30]
    assert timing({"top": module("top", cells)}, "top").endpoints == 1


def test_parameters_are_numbers() -> None:
    assert [number(text, 7) for text in (None, "101", "TRUE", "FALSE")] == [7, 5, 1, 0]
    for text in ("", "ONE", "2", "false"):
        with pytest.raises(ValueError, match="must be a number in binary, TRUE or FALSE, not"):
            number(text, 0)
    with pytest.raises(ValueError, match=r"^DSP48E2.AREG must be a number in binary"):
        list(DELAYS["DSP48E2"].arcs(Cell("dsp", "DSP48E2", {"AREG": "ONE"}, {})))


@pytest.mark.parametrize(
    ("kind", "ports", "reads", "written"),
    [
        ("RAM32M16", "ADDRA ADDRB ADDRH DIA DOA DOB DOH WE", "ADDRA>DOA ADDRB>DOB ADDRH>DOH",
         "ADDRH DIA WE"),
        ("RAM64X1D", "A0 A5 DPRA0 D SPO DPO WE", "A0>SPO A5>SPO DPRA0>DPO", "A0 A5 D WE"),
        ("RAM64X1S", "A0 D O WE", "A0>O", "A0 D WE"),
        ("SRL16E", "A0 A3 D Q CE", "A0>Q A3>Q", "D CE"),
        ("SRLC32E", "A D Q Q31 CE", "A>Q", "D CE"),
    ],
)  # fmt: skip
def test_addresses_of_lut_memories(kind: str, ports: str, reads: str, written: str) -> None:
    arcs = list(DELAYS[kind].arcs(Cell("x", kind, {}, {port: [1] for port in ports.split()})))
    assert [f"{arc.start}>{arc.end}" for arc in arcs if arc.start and arc.end] == reads.split()
    assert [arc.start for arc in arcs if not arc.end] == written.split()
    outputs = [port for port in ports.split() if port[0] in "QO" or port[:2] in ("DO", "SP", "DP")]
    outputs = [port for port in outputs if not port.startswith("DPRA")]
    assert [arc.end for arc in arcs if not arc.start] == outputs


def test_every_cell_of_a_family_has_delays() -> None:
    for family in FAMILIES.values():
        assert family.delays.keys() == family.cells.keys()
