"""What holds for every design."""

from typing import Any

import pydantic
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alula.design import Design, DesignError, load_design
from alula.design.design import BEYOND
from alula.design.storage import Bank, Blocks, bind_memories

KV260, U280 = load_design("kv260"), load_design("u280")
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "cores": st.integers(1, 8),
        "clock_mhz": st.integers(1, 2000),
        "memory.channels": st.integers(1, 64),
        "memory.beat_bytes": st.sampled_from([8, 16, 32, 64, 128]),
        "memory.capacity_mib": st.integers(1, 64).map(lambda n: n * 128),
        "mpe.tokens": st.sampled_from([2, 4, 8, 16, 32]),
        "sfu.lanes": st.sampled_from([2, 4, 8, 16]),
        "buffers.stream_kib": st.integers(1, 2048),
        "buffers.vector_kib": st.integers(1, 4096),
        "buffers.activation_kib": st.integers(1, 1024),
        "context_max": st.integers(1, 512).map(lambda n: n * 32),
        "prefill_chunk": st.integers(1, 7).map(lambda n: n * 32),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
DOTTED = [
    f"{outer}.{inner}"
    for outer, values in KV260.model_dump().items()
    if isinstance(values, dict)
    for inner in values
] + list(Design.model_fields)


def changed(changes: dict[str, Any]) -> Design:
    """A valid design with these changes, on a part large enough for most."""
    try:
        return U280.replace(changes)
    except DesignError:
        assume(False)
        raise


@given(CHANGES)
def test_derived_sizes_agree(changes: dict[str, Any]) -> None:
    design = changed(changes)
    assert design.rows == design.cores * design.chains_per_core
    assert design.rows * 8 == design.bytes_per_cycle
    assert design.macs_per_cycle == 2 * design.multiplier_dsps
    assert 0 <= design.memory.channels - design.channels < design.cores
    assert design.dsps <= design.part.dsp
    assert design.blocks.fits(Blocks(design.part.bram36, design.part.uram))
    kept = {name.removesuffix("_kib"): 1024 * kib for name, kib in design.buffers}
    kept["stream value"] = kept.pop("stream")
    odd_beats = design.channels * design.memory.beat_bytes
    for bank in design.banks:
        if bank.name in kept:
            copies = 1 if bank.name == "program" else design.cores
            assert bank.bits // 8 <= copies * kept[bank.name] + odd_beats


@given(CHANGES)
def test_hash_is_that_of_the_hardware(changes: dict[str, Any]) -> None:
    design = changed(changes)
    others = {"name": True, "part": True, "clock_mhz": True, "memory": BEYOND}
    same = design.model_dump(exclude=others) == U280.model_dump(exclude=others)
    assert (design.hash == U280.hash) == same
    assert len(design.hash) == 16
    assert int(design.hash, 16) >= 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("part", "ddr4-2400r-8gb-x8"), ("latency_cycles", 7), ("timings.tRFC", 400), ("ranks", 2)],
)
def test_the_dram_is_no_part_of_the_hash(key: str, value: Any) -> None:
    changed = KV260.replace({f"memory.dram.{key}": value})
    assert changed != KV260
    assert changed.hash == KV260.hash


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("switch", None),
        ("address_bits", 49),
        ("windows", []),
        ("windows", [{"address": 8 << 30, "mib": 8192}]),
    ],
)
def test_the_ports_are_no_part_of_the_hash(key: str, value: Any) -> None:
    changed = KV260.replace({f"memory.{key}": value})
    assert changed != KV260
    assert changed.hash == KV260.hash
    assert len({KV260, changed}) == 2


@given(CHANGES)
def test_round_trip(changes: dict[str, Any]) -> None:
    design = changed(changes)
    assert Design.from_mapping(design.model_dump()) == design
    assert Design.from_mapping(design.model_dump()).hash == design.hash


@given(st.sampled_from(DOTTED), JSON)
def test_any_value_gives_a_design_or_one_line(key: str, value: Any) -> None:
    message = "must be valid"
    try:
        KV260.replace({key: value})
    except DesignError as error:
        message = str(error)
    assert message.startswith("must be ")
    assert "\n" not in message


def test_frozen() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        KV260.cores = 2  # type: ignore[misc]
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        KV260.mpe.tokens = 2  # type: ignore[misc]


BANKS = st.builds(
    Bank,
    name=st.just("bank"),
    width=st.integers(1, 512),
    depth=st.integers(1, 20_000),
    copies=st.integers(1, 4),
)


@given(st.lists(BANKS, max_size=5), st.integers(0, 500), st.integers(0, 100))
def test_blocks_hold_the_banks(banks: list[Bank], bram36: int, uram: int) -> None:
    blocks = bind_memories(banks, Blocks(bram36, uram)).blocks
    capacity = blocks.bram36 * 72 * 512 + blocks.uram * 72 * 4096
    assert capacity >= sum(bank.bits for bank in banks)
