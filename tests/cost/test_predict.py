"""The cycle model beside the machine model, and what it may not say whatever the design is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.ports import one_port
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.model.bench import program
from tests.shapes import FAMILIES, GPT2, LLAMA2_7B, SMOLLM2, sized

from alula.codegen import ProgramPlan, attempt, plan
from alula.cost import ACCOUNTS, Sizes, bound, predict, time_program
from alula.cost.machine import machine
from alula.cost.memory import memory_term
from alula.cost.sampling import shares
from alula.design import Design, load_design
from alula.ir import Architecture, Precision
from alula.isa import Image, Program, RunInputs
from alula.mapper import DoesNotFit
from alula.model import Machine

NANO, KV260 = load_design("nano"), load_design("kv260")
SMALL = replace(sized(FAMILIES["llama"], 64, 32, 96), layers=9)
CONTEXT = 96


def planned(design: Design, shape: Architecture) -> ProgramPlan:
    return plan(shape, design, CONTEXT)


@pytest.mark.parametrize(
    ("phase", "position", "tokens"),
    [("decode", 0, 1), ("decode", 70, 1), ("prefill", 0, 3), ("prefill", 5, 75)],
)
def test_it_does_what_the_machine_does(phase: str, position: int, tokens: int) -> None:
    """Layers and chunks that are left out are counted by those that stand for them."""
    found = planned(NANO, SMALL)
    inputs = RunInputs(position=position, tokens=tokens, layers=SMALL.layers).registers()
    made: Program = found.decode if phase == "decode" else found.prefill
    machine = Machine(NANO)
    beats = np.zeros((found.memory.beats, NANO.bytes_per_cycle), np.uint8)
    machine.load(Image(NANO.hash, beats, found.memory.regions))
    counters = machine.run(made, inputs).as_dict()
    predicted = time_program(made, NANO, inputs)
    # Lengths in groups of 32 are met by chance where chunks are sampled.
    exact = phase == "decode" or tokens <= 48
    within = 1e-9 if exact else 0.01
    assert predicted.bytes_read == pytest.approx(counters["bytes_read"], rel=within)
    assert predicted.bytes_written == pytest.approx(counters["bytes_written"], rel=within)


def test_accounts_add_up() -> None:
    found = predict(KV260, SMOLLM2, "prefill", 64, 10)
    assert tuple(found.accounts) == ACCOUNTS
    assert sum(found.accounts.values()) == pytest.approx(found.cycles, rel=1e-12)
    assert all(cycles >= 0 for cycles in found.accounts.values())
    assert found.seconds == found.cycles / KV260.clock_hz


def test_ports_pass_less_than_the_dram_gives() -> None:
    """A stripe of 256 bytes comes through one port of 16; the pair passes 27.2 bytes a cycle."""
    four, one = memory_term(KV260), memory_term(one_port(KV260))
    assert four.read - one.read == 16
    assert 64 / four.beat == pytest.approx(32 + 27.2, rel=2e-3)
    assert four.beat > one.beat
    # At 250 MHz a beat a cycle comes through either.
    slower = KV260.replace({"clock_mhz": 250})
    for design in (slower, one_port(slower)):
        assert memory_term(design).beat == pytest.approx(1, rel=1e-12)


def test_writes_turn_the_bus() -> None:
    """Of nano's DDR3-800: five of its clocks are a cycle, a burst takes four."""
    term, timings = memory_term(NANO), NANO.memory.channel.timings
    back = timings["CWL"] + 4 + timings["tWTR_L"]
    drain = timings["CL"] + 4 + 2 - timings["CWL"] + timings["tRP"] + timings["tRCD"] + back
    assert term.store == pytest.approx((4 + drain / 16) / 5)
    assert term.spare > 0.1  # a beat of the port is 5 clocks, a burst 4
    assert memory_term(one_port(KV260)).spare == 0


def test_what_is_stored_keeps_memory_from_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with_writes = predict(KV260, SMOLLM2, "decode").cycles
    term = memory_term(KV260)
    monkeypatch.setattr("alula.cost.machine.memory_term", lambda design: replace(term, store=0))
    machine.cache_clear()
    try:
        without = predict(KV260, SMOLLM2, "decode").cycles
    finally:
        machine.cache_clear()
    assert 0 < with_writes - without < 0.02 * without


def test_decode_waits_for_memory_and_prefill_for_the_chains() -> None:
    few = KV260.replace({"mpe.tokens": 4, "prefill_chunk": 16})
    decode, prefill = predict(KV260, SMOLLM2, "decode"), predict(few, SMOLLM2, "prefill", 64)
    assert decode.accounts["memory"] > 0.9 * decode.cycles
    assert prefill.accounts["compute"] > 0.9 * prefill.cycles


def test_a_prompt_keeps_the_matrix_engine_at_work() -> None:
    found = predict(KV260, SMOLLM2, "prefill", 128)
    assert found.by_engine["MM"] > 0.88 * found.cycles


def test_a_product_waits_for_the_sync_in_front_of_it() -> None:
    """As long as if it took the token itself."""

    def cycles(sync: str, wait: str) -> float:
        text = f"""
            LD.W to=MM fmt=W8 addr=0 blocks=64 groups=4
            ADD dst=0 a=0 b=0 rows=200 words=64 signal=MM
            {sync}
            MM {wait} fmt=W8 src=0 groups=4 outputs=512 rows=8 dst=0 stride=32
            END
        """
        return time_program(program(KV260, text), KV260, {}).cycles

    alone = cycles("", "")
    for sync, wait in (("MM.SYNC wait=MISC", ""), ("", "wait=MISC")):
        assert cycles(sync, wait) > alone + 500


def test_parts_of_a_model_are_parts_of_its_cost() -> None:
    whole = predict(KV260, SMOLLM2, "decode", position=40).cycles
    first = predict(KV260, SMOLLM2, "decode", position=40, layers=10, head=False).cycles
    rest = predict(KV260, SMOLLM2, "decode", position=40, first_layer=10, embed=False).cycles
    assert whole < first + rest < 1.02 * whole


@pytest.mark.parametrize("count", [1, 12, 13, 14, 125, 1000])
def test_chunks_that_are_timed_stand_for_all(count: int) -> None:
    timed, each = shares(count)
    if not timed.size:
        assert count <= 12
        return
    assert list(timed) == sorted(set(timed))
    assert (timed[0], timed[-1]) == (0, count - 1)
    assert each.sum() == pytest.approx(count)
    # A cost that grows evenly is added up exactly.
    assert (each * timed).sum() == pytest.approx(sum(range(count)))


SHAPES = st.builds(
    lambda heads, shared, groups, width, inner, layers: replace(
        sized(FAMILIES["llama"], 32 * width, 32 * groups, 32 * inner),
        heads=heads * shared,
        kv_heads=heads,
        layers=layers,
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(1, 6),
    st.integers(1, 8),
    st.integers(1, 5),
)
PLACES = st.tuples(st.integers(0, 60), st.integers(1, 30))


@settings(max_examples=25)
@given(shape=SHAPES, place=PLACES, layers=st.sampled_from(["W4", "W2", "W8"]))
def test_nothing_is_faster_than_the_bound(
    shape: Architecture, place: tuple[int, int], layers: str
) -> None:
    position, tokens = place
    for phase, many in (("decode", 1), ("prefill", tokens)):
        found = predict(NANO, shape, phase, many, position, Precision(layers), context=CONTEXT)  # type: ignore[arg-type]
        assert found.cycles >= found.bound > 0


def test_the_bound_takes_arrays() -> None:
    sizes = Sizes(np.array([16, 64]), np.array([2, 8]), np.array([2, 4]))
    found = bound(sizes, LLAMA2_7B, position=np.array([[0], [100]]), tokens=1).cycles
    assert found.shape == (2, 2)
    assert (found[:, 0] > found[:, 1]).all()
    assert (found[1] > found[0]).all()
    alone = bound(Sizes.of(KV260), LLAMA2_7B, position=100, tokens=1).cycles
    assert alone == found[1, 1]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DoesNotFit, match=r"must be at most .* on nano, not"):
        predict(NANO, GPT2, "decode")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase": "train"}, "phase must be prefill or decode, not 'train'"),
        ({"tokens": 2}, "tokens must be 1 in decode, not 2"),
        ({"phase": "prefill", "tokens": 0}, "tokens must be at least 1, not 0"),
        ({"position": -1}, "position must be at least 0, not -1"),
        ({"first_layer": 8, "layers": 2}, r"layers must be within 0\.\.9, not 8\.\.10"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        predict(NANO, SMALL, **{"phase": "decode", **changes})  # type: ignore[arg-type]


def test_the_plan_is_the_one_that_is_proved() -> None:
    found = attempt(SMALL, NANO, CONTEXT, Precision(), proved=False)
    assert isinstance(found, ProgramPlan)
    assert found.decode.code == planned(NANO, SMALL).decode.code
