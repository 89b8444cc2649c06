"""Every error, with its words."""

import re

import pytest
from tests.model.bench import KV260, Bench, program

from alula.model import (
    Deadlock,
    Machine,
    MachineError,
    OutOfRange,
    UndefinedBehaviour,
    Unimplemented,
    Unsupported,
)

BIG = 0x7000_0000
TOKENS, GROUPS = KV260.mpe.tokens, KV260.activation_groups
V8 = "fmt=V8 blocks=1 groups=1"
LOADED = f"LD.W to=MV addr=0 {V8}\n"

FAULTS = [
    # undefined behaviour
    ("SDIV rd=r1 a=r2 b=r0", UndefinedBehaviour, "SDIV b must be at least 1, not 0"),
    (
        "LD.W to=MV fmt=W4 addr=0 blocks=0 groups=1",
        UndefinedBehaviour,
        "LD.W blocks must be at least 1, not 0",
    ),
    (
        "LD.W to=MV fmt=W8 addr=0 blocks=1 groups=1 stride=r2",
        UndefinedBehaviour,
        f"LD.W stride must be 0 with row scales, not {BIG}",
    ),
    (
        LOADED + "MV fmt=W8 blocks=1 groups=2 rows=1 stride=1",
        UndefinedBehaviour,
        "MV must take V8 blocks=1 groups=1 as streamed, not W8 blocks=1 groups=2",
    ),
    (
        LOADED + f"MV {V8} rows={TOKENS + 1} stride=1",
        UndefinedBehaviour,
        f"MV rows must be at most {TOKENS}, not {TOKENS + 1}",
    ),
    (
        LOADED + f"MV {V8} rows=0 stride=1",
        UndefinedBehaviour,
        "MV rows must be at least 1, not 0",
    ),
    (
        LOADED + "MV fmt=V8 outputs=8 groups=1 rows=2 stride=0",
        UndefinedBehaviour,
        "MV stride must be at least 1, not 0",
    ),
    (LOADED, UndefinedBehaviour, "END must find the weight stream empty, not with 1 matrices"),
    (
        "SOFTMAX src=0 rows=1 len=0 scale=0",
        UndefinedBehaviour,
        "SOFTMAX len must be at least 1, not 0",
    ),
    (
        "RMSNORM dst=0 src=0 gain=0 rows=1 len=16 inv=r0 eps=r3",
        UndefinedBehaviour,
        "RMSNORM variance must be at least 0, not negative",
    ),
    (
        "LAYERNORM dst=0 src=0 gain=0 rows=1 len=16 inv=r0 eps=r3",
        UndefinedBehaviour,
        "LAYERNORM variance must be at least 0, not negative",
    ),
    (
        "RMSNORM dst=1 src=0 gain=0 rows=1 len=32 inv=r0 eps=r0",
        UndefinedBehaviour,
        "RMSNORM dst must be src or 2 words away, not 1",
    ),
    (
        "ACT func=silu gated=1 dst=9 a=0 b=7 count=5",
        UndefinedBehaviour,
        "ACT dst must be b or 5 words away, not 2",
    ),
    (
        "ADD dst=3 a=0 b=90 rows=2 words=2",
        UndefinedBehaviour,
        "ADD dst must be a or 4 words away, not 3",
    ),
    (
        "LOOP count=2 body=9\nNOP",
        UndefinedBehaviour,
        "LOOP body must end by address 3, not 10",
    ),
    (
        "LOOP count=2 body=2\nNOP\nLOOP count=0 body=1\nNOP",
        UndefinedBehaviour,
        "LOOP body must end by address 3, not 4",
    ),
    (
        "LD.W to=MV fmt=V8 addr=0 blocks=r2 groups=250 stride=r4",
        UndefinedBehaviour,
        "LD.W stride must be at least 1000, not 16",
    ),
    # unsupported
    (
        "LD.W to=MV fmt=W4 nm=2:4 addr=0 blocks=1 groups=1",
        Unsupported,
        "LD.W nm must be dense on a design without mpe.sparse, not 2:4",
    ),
    (
        LOADED + "MV fmt=W8 nm=8:16 blocks=1 groups=1 rows=1",
        Unsupported,
        "MV nm must be dense on a design without mpe.sparse, not 8:16",
    ),
    # unimplemented
    (
        "ROPE src=0 table=0 rows=1 heads=1 dim=80",
        Unimplemented,
        "ROPE dim must be a multiple of 32, not 80",
    ),
    (
        "QUANTKV src=0 dst=0 rows=1 heads=1 dim=40",
        Unimplemented,
        "QUANTKV dim must be a multiple of 16 or divide it, not 40",
    ),
    # out of range
    (
        "LD.W to=MV fmt=W4 addr=r2 blocks=1 groups=1",
        OutOfRange,
        f"LD.W addr must be within 67108864 beats of memory, not {BIG}..{BIG + 3}",
    ),
    (
        "LD.V type=fp32 addr=r2 dst=0 count=17",
        OutOfRange,
        f"LD.V addr must be within 67108864 beats of memory, not {BIG}..{BIG + 1}",
    ),
    (
        "LD.V type=fp32 addr=0 dst=16383 count=17",
        OutOfRange,
        "LD.V dst must be within 16384 words of the vector buffer, not 16383..16384",
    ),
    (
        "LD.G type=fp32 table=r2 ids=0 count=1 len=16 dst=0",
        OutOfRange,
        f"LD.G table must be within 67108864 beats of memory, not {BIG}..{BIG}",
    ),
    (
        "LD.G type=fp32 table=0 ids=r2 count=1 len=16 dst=0",
        OutOfRange,
        f"LD.G ids must be within 67108864 beats of memory, not {BIG}..{BIG}",
    ),
    (
        "LD.G type=fp32 table=0 ids=0 count=2 len=16 dst=16383",
        OutOfRange,
        "LD.G dst must be within 16384 words of the vector buffer, not 16383..16384",
    ),
    (
        "ST.V src=16384 addr=0 count=1",
        OutOfRange,
        "ST.V src must be within 16384 words of the vector buffer, not 16384..16384",
    ),
    (
        "ST.W value=1 addr=0 skip=16",
        OutOfRange,
        "ST.W skip must be at most 15, not 16",
    ),
    (
        "ST.KEY src=991 addr=0 heads=2 rows=1 groups=2",
        OutOfRange,
        "ST.KEY src must be within 992 rows of staging, not 991..992",
    ),
    (
        "ST.KEY src=0 addr=0 heads=1 rows=1 groups=1 position=r2",
        OutOfRange,
        "ST.KEY addr must be within 67108864 beats of memory, not 0..998244356",
    ),
    (
        "ST.VALUE src=0 addr=0 heads=1 rows=1 groups=1 position=r2",
        OutOfRange,
        "ST.VALUE addr must be within 67108864 beats of memory, not 0..234881025",
    ),
    (
        "ST.VALUE src=0 addr=0 heads=1 rows=1 groups=1 scales=r2",
        OutOfRange,
        f"ST.VALUE addr + scales must be within 67108864 beats of memory, not {BIG}..{BIG}",
    ),
    (
        "ST.KEY src=0 addr=0 heads=1 rows=1 groups=r4",
        OutOfRange,
        "ST.KEY values of a row must be at most 480, not 512",
    ),
    (
        LOADED + f"MV {V8} src={GROUPS} rows=1 stride=1",
        OutOfRange,
        f"MV src must be within {GROUPS} groups of the activation buffer, not {GROUPS}..{GROUPS}",
    ),
    (
        LOADED + f"MV {V8} rows=2 stride=1 dst=16383",
        OutOfRange,
        "MV dst must be within 16384 words of the vector buffer, not 16383..16384",
    ),
    (
        f"QUANT src=0 dst={GROUPS - 1} slot={TOKENS} rows=1 len=16",
        OutOfRange,
        (
            f"QUANT dst must be within {GROUPS} groups of the activation buffer,"
            f" not {GROUPS - 1}..{GROUPS}"
        ),
    ),
    (
        "SOFTMAX src=16383 rows=1 len=1 scale=0",
        OutOfRange,
        "SOFTMAX src must be within 16384 words of the vector buffer, not 16383..16384",
    ),
    (
        "SOFTMAX src=0 rows=1 len=17 scale=16383",
        OutOfRange,
        "SOFTMAX scale must be within 16384 words of the vector buffer, not 16383..16384",
    ),
    (
        "LOOP count=1 body=5\n" * 5 + "NOP",
        UndefinedBehaviour,
        "LOOP body must end by address 6, not 7",
    ),
    (
        "".join(f"LOOP count=1 body={5 - depth}\n" for depth in range(5)) + "NOP",
        UndefinedBehaviour,
        "LOOP depth must be at most 4, not 5",
    ),
]


@pytest.mark.parametrize(("text", "kind", "words"), FAULTS, ids=[words for _, _, words in FAULTS])
def test_faults(text: str, kind: type[MachineError], words: str) -> None:
    bench = Bench()
    with pytest.raises(MachineError) as caught:
        bench.run(text, r2=BIG, r3=0xBF80_0000, r4=16)
    assert caught.value.fault == words
    assert type(caught.value) is kind
    message = str(caught.value)
    assert message.startswith(f"{words} (address ")
    assert "\n" not in message


def test_a_fault_names_instruction_address_loops_and_layer() -> None:
    code = program(
        KV260,
        "LOOP count=4 body=4\nNOP\nLOOP count=2 body=2\nSADD rd=r1 a=r1 b=1\n"
        "ACT func=relu dst=0 a=r1+16381 b=0 count=1",
        inputs={"first_layer": 2},
        origins=("", "", "", "", "layers.{layer}.mlp.act", ""),
        layer_loops={0: 0},
    )
    with pytest.raises(OutOfRange) as caught:
        Machine(KV260).run(code, {"first_layer": 7})
    error = caught.value
    assert (error.address, error.iterations, error.origin) == (4, (1, 0), "layers.8.mlp.act")
    assert str(error) == (
        "ACT a must be within 16384 words of the vector buffer, not 16384..16384 "
        "(address 4, loop 1/0, layers.8.mlp.act: "
        "ACT func=relu gated=0 dst=0 a=r1+16381 b=0 count=1)"
    )


def test_a_fault_of_a_queued_instruction_names_its_own_place() -> None:
    code = program(
        KV260,
        "LOOP count=2 body=2\nST.W wait=LD value=0 addr=0 skip=r1\nLI rd=r1 value=16\n"
        "LD.SYNC signal=ST\nLD.SYNC signal=ST",
    )
    with pytest.raises(OutOfRange) as caught:
        Machine(KV260).run(code, {})
    assert (caught.value.address, caught.value.iterations) == (1, (1,))


def deadlock(text: str, **fields) -> str:
    with pytest.raises(Deadlock) as caught:
        Machine(KV260).run(program(KV260, text, **fields), {})
    return str(caught.value)


def test_a_deadlock_tells_who_waits_for_whom() -> None:
    message = deadlock(
        "LD.W to=MM addr=0 fmt=V8 blocks=1 groups=1\n"
        "MV wait=MISC fmt=V8 blocks=1 groups=1 rows=1 stride=1\n"
        "LOOP count=2 body=1\n"
        "MISC.SYNC wait=MV,ST\n"
        "NOP wait=MISC",
        origins=("qkv", "qkv", "", "softmax", "head", ""),
    )
    assert message == (
        "something must be able to go on, not wait: "
        "SYS waits for a token from MISC (address 4, head: NOP wait=MISC); "
        "MV waits for a token from MISC and MM to take the head of the stream "
        "(address 1, qkv: MV fmt=V8 nm=dense src=0 groups=1 outputs=8 rows=1 dst=0 stride=1 "
        "wait=MISC); "
        "MISC waits for a token from ST and a token from MV "
        "(address 3, loop 0, softmax: MISC.SYNC wait=ST,MV)"
    )


def test_a_deadlock_at_the_end() -> None:
    assert deadlock("LD.SYNC wait=ST\nMV fmt=V8 blocks=1 groups=1 rows=1 stride=1") == (
        "something must be able to go on, not wait: "
        "SYS waits for LD and MV to finish (address 2: END); "
        "LD waits for a token from ST (address 0: LD.SYNC wait=ST); "
        "MV waits for LD to fill the stream "
        "(address 1: MV fmt=V8 nm=dense src=0 groups=1 outputs=8 rows=1 dst=0 stride=1)"
    )


def test_a_deadlock_over_room_in_the_stream() -> None:
    message = deadlock("LD.W to=MV addr=0 fmt=V8 blocks=600 groups=1\nNOP wait=MISC")
    assert message == (
        "something must be able to go on, not wait: "
        "SYS waits for a token from MISC (address 1: NOP wait=MISC); "
        "LD waits for MV to make room in the stream (address 0: "
        "LD.W to=MV fmt=V8 nm=dense addr=0 blocks=600 groups=1 stride=0)"
    )


def test_a_program_must_end() -> None:
    code = program(KV260, "NOP\nEND")
    cut = program(KV260, "NOP\nNOP\nEND")
    cut = type(cut)("test", cut.design_hash, cut.code[:32], {}, {})
    Machine(KV260).run(code, {})
    with pytest.raises(UndefinedBehaviour) as caught:
        Machine(KV260).run(cut, {})
    assert caught.value.fault == "code must reach END, not run past address 1"


def test_the_watchdog_ends_an_endless_run() -> None:
    code = program(KV260, "LOOP count=65535 body=2\nLOOP count=65535 body=1\nNOP\nEND")
    with pytest.raises(Deadlock) as caught:
        Machine(KV260, watchdog=1000).run(code, {})
    assert re.fullmatch(
        r"run must end within 1000 instructions, not go on "
        r"\(address 2, loop 0/998: NOP\)",
        str(caught.value),
    )
