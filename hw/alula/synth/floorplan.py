"""Multipliers of an ECP5 netlist, each in a place: `python floorplan.py SIZE NETLIST`.

nextpnr puts what multiplies together anywhere in the chip's few rows of multipliers, and the wires
to it are a third of all. Here they lie side by side in the order of the design's hierarchy, so that
a chain runs along a row. An exported design has a copy of this file, which needs Python alone.
"""

import json
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

_KIND = "MULT18X18D"
_ROWS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "12": ((13,), (4, 13, 22, 33, 42, 51, 60)),
    "25": ((13,), (4, 13, 22, 33, 42, 51, 60)),
    "45": ((46, 22), (4, 13, 22, 31, 42, 51, 60, 69, 78)),
    "85": ((58, 34, 10), (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114)),
}
"""Of a device, LFE5U-12 and so on, the rows with multipliers and the columns of its DSP blocks."""
_BLOCK = (0, 1, 4, 5)
"""The multipliers of a DSP block, by number and by column within it."""


def _sites(size: str) -> list[str]:
    """The places of a device's multipliers, back and forth through its rows."""
    rows, columns = _ROWS[size]
    sites = []
    for number, row in enumerate(rows):
        for column in columns[:: -1 if number % 2 else 1]:
            sites += [f"X{column + bel}/Y{row}/MULT18_{bel}" for bel in _BLOCK]
    return sites


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort numbers within names as numbers."""
    return [
        (int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name) if part
    ]


def floorplan(netlist: dict[str, Any], size: str) -> int:
    """Give the multipliers of a netlist their places.

    Multipliers of one component that fill DSP blocks of four begin a block, while there is room.

    Args:
        netlist: What Yosys writes as JSON; the cells get an attribute `BEL`.
        size: Of the device: 12, 25, 45 or 85.

    Returns:
        How many have a place: none if there are more than places.
    """
    top = next(item for item in netlist["modules"].values() if item["attributes"].get("top"))
    cells = {name: cell for name, cell in top["cells"].items() if cell["type"] == _KIND}
    names, sites = sorted(cells, key=_natural), _sites(size)
    spare = len(sites) - len(names)
    if spare < 0:
        return 0
    at = 0
    for _, group in groupby(names, lambda name: name.rpartition(".")[0]):
        members = list(group)
        skipped = -at % len(_BLOCK)
        if len(members) >= len(_BLOCK) and skipped <= spare:
            at, spare = at + skipped, spare - skipped
        for name in members:
            cells[name]["attributes"]["BEL"] = sites[at]
            at += 1
    return len(names)


def main(size: str, place: Path) -> None:
    """Change a netlist file."""
    netlist = json.loads(place.read_text(encoding="utf-8"))
    floorplan(netlist, size)
    place.write_text(json.dumps(netlist), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
