"""What no token puts in order is found, whatever order the machine takes."""

import pytest
from tests.model.bench import KV260, Bench, program
from tests.model.test_scheduler import stream_bench

from alula.model.races import Race, Races

LOAD = "LD.V type=fp32 addr=0 dst=0 count=64"
ADD = "ADD dst=0 a=0 b=0 rows=1 words=4"
STORE = "ST.V src=0 addr=0 count=64"


def watch(*lines: str) -> None:
    """Run a listing under `Races`."""
    machine = Bench().machine
    machine.run(program(KV260, "\n".join(lines)), {}, on_retire=Races(machine.state).retired)


def signed(line: str, **tokens: str) -> str:
    """The line with `wait` and `signal`."""
    return " ".join([line, *(f"{name}={engines}" for name, engines in tokens.items())])


def test_ordered_accesses_pass() -> None:
    watch(
        signed(LOAD, signal="MISC"),
        signed(ADD, wait="LD", signal="ST"),
        signed(STORE, wait="MISC", signal="LD"),
        signed(LOAD, wait="ST"),
    )


def test_order_is_passed_on() -> None:
    """ST waits for MISC alone, which has waited for LD."""
    watch(
        signed(LOAD, signal="MISC"),
        signed("MISC.SYNC", wait="LD", signal="ST"),
        signed(STORE, wait="MISC"),
    )


def test_the_sequencer_orders_what_it_dispatches_later() -> None:
    watch(
        signed(LOAD, signal="SYS"),
        signed("NOP", wait="LD"),
        STORE,
    )


@pytest.mark.parametrize("blocks", [1, 4])
def test_a_product_comes_after_the_load_of_its_weights(blocks: int) -> None:
    """One matrix fits the stream, the other is still being loaded when the product begins."""
    bench, shape = stream_bench(blocks=blocks)
    rows = bench.design.rows
    lines = (
        "QUANT src=0 dst=0 slot=0 rows=1 len=256 stride=64 signal=MV",
        "LD.V type=fp32 addr=0 dst=100 count=8",
        f"LD.W to=MV addr=0 {shape}",
        f"MV wait=MISC fmt=V8 groups=8 src=0 outputs={blocks * rows} rows=1 dst=100 stride=0",
    )
    races = Races(bench.machine.state)
    listing = program(bench.design, "\n".join(lines))
    bench.machine.run(listing, {}, on_retire=races.retired)


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ((LOAD, ADD), "vector 0"),
        ((ADD, STORE), "vector 0"),
        ((STORE, ADD), "vector 0"),
        ((STORE.replace("src=0", "src=4"), LOAD), "memory 0"),
        ((LOAD.replace("count=64", "count=68"), ADD.replace("=0", "=4")), "vector 4"),
        (
            ("QUANT src=0 dst=0 slot=0 rows=1 len=32 stride=4", LOAD.replace("dst=0", "dst=1")),
            "vector 1",
        ),
    ],
)
def test_a_missing_token_is_named(lines: tuple[str, ...], place: str) -> None:
    with pytest.raises(Race, match=f"^{place} must not be touched in any order"):
        watch(*lines)


def test_a_token_for_another_access_does_not_count() -> None:
    """The first load is waited for, the second one is not."""
    with pytest.raises(Race):
        watch(signed(LOAD, signal="MISC"), LOAD, signed(ADD, wait="LD"))


def test_both_instructions_and_their_loops_are_named() -> None:
    with pytest.raises(Race) as error:
        watch("LOOP count=2 body=2", signed(LOAD, signal="MISC"), signed(ADD, wait="LD"))
    text = str(error.value)
    assert "by this and by ADD" in text
    assert "(address 2, loop 0)" in text
    assert text.endswith("count=64 signal=MISC)")


def test_what_a_run_has_done_comes_before_the_next() -> None:
    machine = Bench().machine
    races = Races(machine.state)
    for line in (LOAD, ADD, STORE):
        machine.run(program(KV260, line), {}, on_retire=races.retired)
