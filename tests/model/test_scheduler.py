"""Tokens, loops, queues and the stream's room."""

from random import Random

import numpy as np
import pytest
from tests.model.bench import KV260, ODD, Bench, program, read_bytes
from tests.model.layout import pack, random_weights

from alula.model import Counters, Deadlock, Machine, OutOfRange, Retired, UndefinedBehaviour


def run(text: str, **fields) -> list[Retired]:
    """What retired, in order."""
    seen: list[Retired] = []
    Machine(KV260).run(program(KV260, text, **fields), {}, on_retire=seen.append)
    return seen


def order(text: str) -> list[str]:
    return [item.op.name for item in run(text)]


# Registers and loops


def value_of(text: str, **constants: int) -> int:
    bench = Bench()
    bench.run(f"{text}\nST.W value=r1 addr=0", **constants)
    return int(read_bytes(bench.machine, 0, 4).view(np.uint32)[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LI rd=r1 value=7", 7),
        ("SADD rd=r1 a=r2 b=r3+5", 2),
        ("SSUB rd=r1 a=r3 b=r2", (4 - 0xFFFF_FFF9) % 2**32),
        ("SMUL rd=r1 a=r2 b=r2", 49),
        ("SDIV rd=r1 a=r2 b=r3", 0xFFFF_FFF9 // 4),
        ("SMIN rd=r1 a=r2 b=r3", 4),
        ("LI rd=r0 value=7\nSADD rd=r1 a=r0 b=1", 1),
        ("ARG rd=r1", 0),
    ],
)
def test_registers(text: str, expected: int) -> None:
    assert value_of(text, r2=0xFFFF_FFF9, r3=4) == expected


ADD = "SADD rd=r1 a=r1 b={}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("LOOP count=5 body=1\n" + ADD.format(1), 5),
        ("LOOP count=0 body=1\n" + ADD.format(1) + ADD.format(100), 100),
        ("LOOP count=9 body=0\n" + ADD.format(1), 1),
        ("LOOP count=r2 body=2\n" + ADD.format(1) + ADD.format(10), 33),
        ("LOOP count=2 body=3\nLOOP count=3 body=1\n" + ADD.format(1) + ADD.format(100), 206),
        ("LOOP count=2 body=2\nLOOP count=3 body=1\n" + ADD.format(1) + ADD.format(100), 106),
        ("LOOP count=2 body=2\nLOOP count=0 body=1\n" + ADD.format(1) + ADD.format(100), 100),
        (
            "LOOP count=2 body=4\nLOOP count=2 body=3\nLOOP count=2 body=2\nLOOP count=2 body=1\n"
            + ADD.format(1),
            16,
        ),
    ],
)
def test_loops(text: str, expected: int) -> None:
    assert value_of(text, r2=3) == expected


def test_operands_are_resolved_when_the_sequencer_dispatches() -> None:
    seen = run(
        "LI rd=r1 value=5\nST.W wait=LD value=r1 addr=r1+1\nLI rd=r1 value=900\nLD.SYNC signal=ST"
    )
    assert [item.op.name for item in seen] == ["LI", "LI", "LD.SYNC", "ST.W", "END"]
    assert seen[3].values == {"value": 5, "addr": 6, "skip": 0}


def test_iterations_and_layers_are_told() -> None:
    code = program(
        KV260,
        "LOOP count=2 body=3\nLOOP count=2 body=2\nNOP\nNOP",
        inputs={"first_layer": 3},
        origins=("a", "b", "layers.{layer}.x", "layers.{layer}.y", "end"),
        layer_loops={1: 0},
    )
    seen: list[Retired] = []
    Machine(KV260).run(code, {"first_layer": 5}, on_retire=seen.append)
    places = [(item.iterations, item.origin) for item in seen if item.address == 3]
    assert places == [
        ((0, 0), "layers.5.y"),
        ((0, 1), "layers.6.y"),
        ((1, 0), "layers.5.y"),
        ((1, 1), "layers.6.y"),
    ]


# Tokens


def test_an_engine_waits_for_each_token() -> None:
    assert order(
        "LD.SYNC wait=ST,MISC signal=MV\nMV.SYNC wait=LD\nST.SYNC signal=LD\nMISC.SYNC signal=LD"
    ) == ["ST.SYNC", "MISC.SYNC", "LD.SYNC", "MV.SYNC", "END"]


def test_engines_are_in_order() -> None:
    names = [
        item.address
        for item in run("LD.SYNC wait=ST\nLD.SYNC\nLD.SYNC\nMISC.SYNC\nST.SYNC signal=LD")
    ]
    assert names == [3, 4, 0, 1, 2, 5]


def test_the_sequencer_waits_too_and_signals() -> None:
    assert order("MISC.SYNC wait=SYS signal=SYS\nNOP signal=MISC\nNOP wait=MISC\nLD.SYNC") == [
        "NOP",
        "MISC.SYNC",
        "NOP",
        "LD.SYNC",
        "END",
    ]


def test_tokens_do_not_outlive_a_run() -> None:
    machine = Machine(KV260)
    machine.run(program(KV260, "LD.SYNC signal=ST"), {})
    with pytest.raises(Deadlock):
        machine.run(program(KV260, "ST.SYNC wait=LD"), {})


def test_a_queue_holds_16() -> None:
    waiting = "LD.SYNC wait=ST\n"
    assert len(order(waiting * 16 + "ST.SYNC signal=LD\n" * 16)) == 33
    with pytest.raises(Deadlock, match="SYS waits for room in the queue of LD"):
        order(waiting * 17 + "ST.SYNC signal=LD\n" * 17)


def test_a_counter_holds_255() -> None:
    run("LOOP count=255 body=1\nLD.SYNC signal=ST")
    with pytest.raises(UndefinedBehaviour, match="tokens from LD to ST must be at most 255"):
        run("LOOP count=256 body=1\nLD.SYNC signal=ST")


# The stream


def stream_bench(fmt: str = "V8", blocks: int = 4, groups: int = 8) -> tuple[Bench, str]:
    """A matrix of 128 beats for a stream of 42."""
    bench = Bench(ODD)
    assert ODD.stream_beats == 42
    bench.machine.write(0, pack(random_weights(fmt, ODD, blocks, groups), ODD))
    return bench, f"fmt={fmt} blocks={blocks} groups={groups}"


def test_a_matrix_larger_than_the_stream_runs_through() -> None:
    bench, shape = stream_bench()
    seen: list[str] = []
    code = program(
        ODD,
        f"LD.W to=MV addr=0 {shape} signal=ST\n"
        "ST.SYNC wait=LD\n"
        "LD.SYNC\n"
        "MISC.SYNC signal=MV\n"
        f"MV wait=MISC {shape} rows=1 dst=0 stride=9",
    )
    bench.machine.run(code, {}, on_retire=lambda item: seen.append(item.op.name))
    assert seen == ["MISC.SYNC", "MV", "LD.W", "LD.SYNC", "ST.SYNC", "END"]


def test_ld_runs_ahead_as_far_as_the_stream_is_deep() -> None:
    bench, _ = stream_bench()
    small = "fmt=V8 blocks=1 groups=4"
    seen: list[tuple[str, int]] = []
    code = program(
        ODD,
        f"LD.W to=MV addr=0 {small}\n" * 4 + "MISC.SYNC\n" + f"MV {small} rows=1 stride=9\n" * 4,
    )
    bench.machine.run(code, {}, on_retire=lambda item: seen.append((item.op.name, item.address)))
    assert [name for name, _ in seen] == ["LD.W"] * 2 + [
        "MISC.SYNC",
        "MV",
        "LD.W",
        "MV",
        "LD.W",
        "MV",
        "MV",
        "END",
    ]


def test_the_head_of_the_stream_says_whose_turn_it_is() -> None:
    bench, _ = stream_bench()
    small = "fmt=V8 blocks=1 groups=1"
    seen: list[str] = []
    code = program(
        ODD,
        f"LD.W to=MM addr=0 {small}\nLD.W to=MV addr=0 {small}\n"
        f"MV {small} rows=1 stride=9\nMV.SYNC signal=MISC\nMM {small} rows=1 stride=9\n",
    )
    bench.machine.run(code, {}, on_retire=lambda item: seen.append(item.op.name))
    assert seen == ["LD.W", "LD.W", "MM", "MV", "MV.SYNC", "END"]


def test_mm_replays_only_what_the_stream_holds() -> None:
    bench, shape = stream_bench(blocks=1, groups=11)
    text = f"LD.W to=MM addr=0 {shape}\nMM {shape} rows={{}} dst=0 stride=9"
    bench.run(text.format(2))
    with pytest.raises(OutOfRange) as caught:
        bench.run(text.format(3))
    assert str(caught.value).startswith("MM beats of a row block must be at most 42, not 44 (")


# Any order


def test_a_shuffled_run_gives_the_same_where_everything_is_synchronised() -> None:
    text = (
        "LOOP count=6 body=4\n"
        "LD.V wait=ST type=fp32 addr=0 dst=0 count=64 signal=MISC\n"
        "ADD wait=LD dst=0 a=0 b=0 rows=1 words=4 signal=ST\n"
        "ST.V wait=MISC src=0 addr=0 count=64 signal=LD\n"
        "NOP\n"
    )
    credit = "ST.SYNC signal=LD\n"
    results = set()
    for seed in range(20):
        bench = Bench()
        bench.machine.write(0, np.ones(64, np.float32))
        code = program(KV260, credit + text)
        counters = bench.machine.run(code, {}, shuffle=Random(seed))
        results.add((read_bytes(bench.machine, 0, 4).view(np.float32)[0], counters))
    assert len(results) == 1
    assert next(iter(results))[0] == 64


def test_a_shuffled_run_shows_what_is_not() -> None:
    text = (
        "LD.V type=fp32 addr=0 dst=0 count=64\n"
        "ADD dst=0 a=0 b=0 rows=1 words=4\n"
        "ST.V src=0 addr=0 count=64\n"
    )
    results = set()
    for seed in range(20):
        bench = Bench()
        bench.machine.write(0, np.ones(64, np.float32))
        bench.machine.run(program(KV260, text), {}, shuffle=Random(seed))
        results.add(float(read_bytes(bench.machine, 0, 4).view(np.float32)[0]))
    assert len(results) > 1


# Counters


def test_counters_add_up() -> None:
    bench, shape = stream_bench(blocks=2, groups=3)
    counters = bench.run(
        "LI rd=r1 value=1\n"
        "LOOP count=3 body=1\n"
        "MISC.SYNC\n"
        f"LD.W to=MM addr=0 {shape}\n"
        f"MM {shape} rows=2 dst=0 stride=3\n"
        f"LD.W to=MV addr=0 {shape}\n"
        f"MV {shape} rows=1 dst=0 stride=3\n"
        "ST.V src=0 addr=100 count=5\n"
        "LD.V type=bf16 addr=0 dst=0 count=25"
    )
    assert counters == Counters(
        instructions=12,
        ld=3,
        st=1,
        mm=1,
        mv=1,
        misc=3,
        sys=3,
        bytes_read=(24 + 24 + 2) * 48,
        bytes_written=20,
        macs=3 * 12 * 96,
    )
    assert counters.as_dict()["macs"] == 3456
