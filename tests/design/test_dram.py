"""DRAM parts, address mappings, and what follows from them."""

import re

import pytest

from alula.design import DesignError, load_design
from alula.design.dram_parts import PARTS, USUAL_PARTS
from alula.design.timings import Timings

KV260 = load_design("kv260")


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_what_its_name_says(name: str) -> None:
    part = PARTS[name]
    kind, rate, gigabits, width = name.split("-")
    assert part.kind == kind
    assert str(part.data_rate) == re.sub(r"\D", "", rate)
    assert (f"{part.bits >> 30}gb", f"x{part.width}") == (gigabits, width)
    assert part.bus_bits % part.width == 0


@pytest.mark.parametrize("name", PARTS)
def test_timings_agree_with_each_other(name: str) -> None:
    given = PARTS[name].timings.model_dump()
    assert set(given) == set(Timings.model_fields)
    assert None not in given.values()
    assert abs(given["tRC"] - given["tRAS"] - given["tRP"]) <= 1
    for timing in ("tRRD", "tCCD", "tWTR"):
        assert given[f"{timing}_S"] <= given[f"{timing}_L"]
    assert given["tFAW"] >= 3 * given["tRRD_S"]
    assert given["tREFI"] > 4 * given["tRFC"]


def test_every_kind_of_memory_has_a_usual_part() -> None:
    for kind, name in USUAL_PARTS.items():
        assert PARTS[name].kind == kind
        design = KV260.replace({"memory.kind": kind, "memory.dram": {}})
        assert design.memory.channel.part is PARTS[name]


def test_kv260_is_four_parts_of_16_bits() -> None:
    channel = KV260.memory.channel
    assert channel.bus_bits // channel.part.width == 4
    assert channel.capacity_bytes == KV260.channel_bytes == 4 << 30
    assert channel.access_bytes == KV260.memory.beat_bytes == 64
    assert channel.bytes_per_second == KV260.bytes_per_second == 19_200_000_000
    assert channel.clock_hz == 4 * KV260.clock_hz
    assert channel.mapping == (("bankgroup", 1), ("column", 7), ("bank", 2), ("rank", 0))


def test_a_field_may_be_cut() -> None:
    design = KV260.replace({"memory.dram.mapping": "row column rank bank column:2 bankgroup"})
    expected = ("bankgroup", 1), ("column", 2), ("bank", 2), ("rank", 0), ("column", 5)
    assert design.memory.channel.mapping == expected


@pytest.mark.parametrize(
    "mapping",
    [
        "",
        "rank row bank column bankgroup",
        "row rank bank column",
        "row rank bank column bankgroup row",
        "row rank bank column column bankgroup",
        "row column:2 rank bank bankgroup column",
        "row column rank bank bankgroup column:8",
        "row column rank bank bankgroup column:-1",
        "row column rank bank bankgroup column:x",
        "row column rank bank bankgroup" + " column:1" * 7,
    ],
)
def test_a_mapping_that_is_none(mapping: str) -> None:
    with pytest.raises(DesignError, match=r"must be row and, .*memory\.dram\.mapping"):
        KV260.replace({"memory.dram.mapping": mapping})
