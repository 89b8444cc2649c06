"""The clock at which cycles become seconds, and how it is known."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from alula.design import Design
from alula.folders import cache_folder
from alula.kept import damage, kept
from alula.sources import sources_id
from alula.synth.tools import SynthError, Tool, nextpnr, yosys
from alula.synth.verilog import made_of

_KIND = "clocks"
_FILE = "clock.json"

Found = Literal["estimated", "placed"]


@dataclass(frozen=True)
class Clock:
    """A clock, and how it is known.

    Attributes:
        mhz: how fast it is.
        source: "declared" by the design, which proves nothing; "estimated" from the netlist;
            "placed" by nextpnr.
    """

    mhz: float
    source: Literal["declared", "estimated", "placed"]

    def __str__(self) -> str:
        return f"{self.mhz:.0f} MHz ({self.source})"


def clock_of(design: Design) -> Clock:
    """Return the best known clock of a design: placed, or else estimated, or else declared.

    What `alula synth` found of the same design and gateware, by the tools that are there, is kept;
    of several placements the fastest counts.
    """
    for source in ("placed", "estimated"):
        try:
            places = (cache_folder() / _KIND).glob(f"{_key(design, source)}-*")
        except SynthError:
            continue
        sound = [place for place in places if damage(place) is None]
        if sound:
            found = [json.loads((place / _FILE).read_text(encoding="utf-8")) for place in sound]
            return Clock(max(found), source)
    return Clock(design.clock_mhz, "declared")


def remember(design: Design, source: Found, mhz: float) -> None:
    """Keep what was found of a design's clock."""

    def make(folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(mhz), encoding="utf-8")

    kept(_KIND, f"{_key(design, source)}-{mhz}", make)


def _key(design: Design, source: Found) -> str:
    """Everything that a clock depends on, as a hash. SynthError: a tool is missing."""
    tools: list[Tool] = [yosys(), *([nextpnr()] if source == "placed" else [])]
    made_by = sources_id("alula.timing", "alula.synth")
    text = repr((made_of(design), source, made_by, [tool.version for tool in tools]))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
