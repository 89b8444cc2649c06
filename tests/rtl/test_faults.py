"""What a run survives: broken memory, broken programs, a reset at any time."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from tests.model.bench import program
from tests.model.layout import pack, random_weights
from tests.rtl.programs import NANO, Pair

from alula.gateware.control.activity import Activity
from alula.isa import Engine, Program
from alula.model import Machine
from alula.model.errors import OutOfRange, UndefinedBehaviour
from alula.rtl.device import Defect, RtlError, Timing

BEATS = NANO.capacity_bytes // NANO.bytes_per_cycle
WORDS = NANO.vector_words
GROUPS = NANO.activation_groups
STREAM = NANO.stream_beats
PRODUCTS = 200
ROWS = NANO.staging_bytes // (2 * 32 + 2)
"""Of two groups, in staging."""
GOOD = """
LD.W to=MM fmt=W4 addr=2000 blocks=30 groups=3
LD.V type=fp32 addr=0 dst=0 count=480 signal=MISC
QUANT src=0 dst=4 slot=0 rows=5 len=96 stride=24 wait=LD signal=MM
MM fmt=W4 src=4 dst=200 rows=5 blocks=30 groups=3 stride=15 wait=MISC signal=ST
ST.V src=200 addr=1400 count=300 wait=MM
"""

QUARTER = GROUPS * NANO.mpe.tokens // 4
FILL = f"""
LD.V type=fp32 addr=0 dst=0 count={WORDS * NANO.sfu.lanes} signal=MISC
MISC.SYNC wait=LD
""" + "\n".join(
    f"QUANT src={8 * row} dst={row // NANO.mpe.tokens} slot=0 rows={QUARTER} len=32 stride=8"
    for row in range(0, 4 * QUARTER, QUARTER)
)
"""Gives every word a value, and every group values with an exponent of their own."""


@pytest.fixture(scope="module")
def module_pair() -> Iterator[Pair]:
    both = Pair(Timing(read_latency=20))
    both.write(0, np.random.default_rng(1).standard_normal(2048).astype(np.float32))
    both.write(2000, pack(random_weights("W4", NANO, 30, 3), NANO))
    both.device.patience = 2000
    yield both
    both.device.close()


@pytest.fixture
def pair(module_pair: Pair) -> Iterator[Pair]:
    """After each test memory is as before it, and the device does what it did."""
    yield module_pair
    module_pair.device.break_memory(range(0), Defect.NONE)
    module_pair.listing(GOOD)


def fails(pair: Pair, text: str, message: str, **constants: int) -> None:
    """A listing must fail in one line that matches, and write nothing."""
    registers = {int(name[1:]): value for name, value in constants.items()}
    fails_program(pair, program(NANO, text, constants=registers), message)


def fails_program(pair: Pair, broken: Program, message: str) -> None:
    before = pair.device.memory.copy()
    with pytest.raises(RtlError, match=message) as caught:
        pair.device.run(broken, {})
    assert "\n" not in str(caught.value)
    assert np.array_equal(before, pair.device.memory)


def test_the_four_uses_add_up(pair: Pair) -> None:
    outcome = pair.listing(GOOD)
    assert set(outcome.counters) == {f"{e.name}.{u.name}".lower() for e in Engine for u in Activity}
    for engine in Engine:
        parts = [outcome.counters[f"{engine.name}.{use.name}".lower()] for use in Activity]
        assert sum(parts) == outcome.cycles, (engine, parts)
    # What cannot be otherwise: beats one a cycle, products two cycles a group and pass.
    assert outcome.counters["ld.busy"] >= 3 * 30 * 2
    assert outcome.counters["mm.busy"] >= 30 * 3 * 2 * 3
    assert outcome.counters["mv.idle"] == outcome.cycles
    assert outcome.counters["sys.idle"] == 0
    assert outcome.bytes_written == 1200


def test_a_full_stream_blocks_ld(pair: Pair) -> None:
    fed = """
LD.V type=fp32 addr=0 dst=0 count=384 signal=MISC
LD.W to=MV fmt=V8 addr=2000 blocks=60 groups=12
RMSNORM src=0 dst=0 gain=0 rows=60 len=4 inv=r1 eps=r2 wait=LD
QUANT src=0 dst=0 slot=0 rows=1 len=384 stride=96 signal=MV
MV fmt=V8 src=0 dst=200 rows=1 outputs=120 groups=12 stride=30 wait=MISC signal=ST
ST.V src=200 addr=1400 count=120 wait=MV
"""
    outcome = pair.listing(fed, r1=0x3E800000, r2=0x3727C5AC)
    assert outcome.counters["ld.blocked"] > 1000
    assert outcome.counters["mv.starved"] > 1000


@pytest.mark.parametrize("kind", [Defect.SLVERR, Defect.DECERR])
@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("LD.V type=fp32 addr=3 dst=5 count=256", "LD"),
        ("LD.W to=MV fmt=V8 addr=3 blocks=4 groups=4", "LD"),
        ("ST.V src=5 addr=3 count=256", "ST"),
        ("ST.W value=7 addr=30 skip=0", "ST"),
    ],
)
def test_memory_refuses(pair: Pair, kind: Defect, text: str, engine: str) -> None:
    pair.device.break_memory(range(30, 31), kind)
    name = text.split()[0].replace(".", r"\.")
    with pytest.raises(RtlError, match=rf"test: {engine} at 1 must .*{kind.name} \({name}"):
        pair.device.run(program(NANO, f"NOP\n{text}"), {})
    # What was written before the fault is as it should be: the good run writes it again.
    pair.device.break_memory(range(0), Defect.NONE)
    pair.device.memory[:] = pair.machine.state.memory.bytes


def test_the_beat_that_memory_refuses_is_named(pair: Pair) -> None:
    """LD is asking for it while what came before it is still being handed on."""
    pair.device.break_memory(range(530, 531), Defect.DECERR)
    text = "\n".join(f"LD.V type=fp32 addr={addr} dst=0 count=4" for addr in (100, 510, 120, 530))
    fails(pair, text, r"LD at 3 must be given beat 530 by memory, not DECERR \(LD\.V .* addr=530 ")


def test_the_burst_that_memory_refuses_is_named(pair: Pair) -> None:
    """Of a store over 4 KiB; and it is not of the store that waits for its end."""
    pair.device.break_memory(range(260, 261), Defect.SLVERR)
    text = "ST.W value=7 addr=200\nST.V src=0 addr=250 count=80\nST.W value=7 addr=300"
    message = r"ST at 1 must have memory accept the burst at beat 256, not answer SLVERR \(ST\.V "
    with pytest.raises(RtlError, match=message):
        pair.device.run(program(NANO, text), {})
    pair.device.memory[:] = pair.machine.state.memory.bytes


@pytest.mark.parametrize("text", ["LD.V type=fp32 addr=3 dst=5 count=256", "ST.W value=7 addr=30"])
def test_memory_never_answers(pair: Pair, text: str) -> None:
    pair.device.break_memory(range(30, 31), Defect.SILENT)
    engine = text[:2]
    message = (
        rf"test makes no progress after \d+ cycles: .*{engine} at 0 waits for memory \({engine}"
    )
    fails(pair, text, message)


@pytest.mark.parametrize("cycles", [40, 150, 400, 700, 1100])
def test_reset_at_any_time(pair: Pair, cycles: int) -> None:
    pair.listing(GOOD)
    expected = pair.device.memory.copy()
    pair.device.memory[1400 * 16 : 1500 * 16] = 0
    driver = pair.device.driver
    driver.start(program(NANO, GOOD), {})
    driver.bus.wait(cycles)
    driver.reset()
    pair.device.run(program(NANO, GOOD), {})
    assert np.array_equal(expected, pair.device.memory)


def test_another_design(pair: Pair) -> None:
    other = replace(program(NANO, "END"), design_hash="0" * 16)
    fails_program(pair, other, rf"program must be for {NANO.hash}, not for 0{{16}}")


def test_no_end(pair: Pair) -> None:
    text = r"SYS at 3: the program must come to an END, not run off its last instruction"
    fails(pair, "LI rd=r1 value=0\nLOOP count=r1 body=1\nEND", text)


def test_never_an_end(pair: Pair) -> None:
    whole = program(NANO, GOOD)
    text = r"^test: code must reach END, not run past address 1 \(address 1\)$"
    fails_program(pair, replace(whole, code=whole.code[:32]), text)


def test_cut_inside_a_loop(pair: Pair) -> None:
    whole = program(NANO, "LOOP count=3 body=4\nNOP\nNOP\nNOP\nNOP")
    text = r"^test: LOOP body must end by address 3, not 5 \(address 0\)$"
    fails_program(pair, replace(whole, code=whole.code[:48]), text)


def test_too_long(pair: Pair) -> None:
    words = NANO.program_bytes // 16
    whole = program(NANO, "END")
    text = rf"^test: code must be at most {words} instructions, not {words + 1} "
    fails_program(pair, replace(whole, code=whole.code * (words + 1)), text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"LD.V type=fp32 addr={BEATS} dst=0 count=1", rf"LD at 0 .*not reach {BEATS} \(LD\.V"),
        (f"LD.V type=fp32 addr={BEATS - 1} dst=0 count=5", r"LD at 0 .*within the design"),
        (f"LD.W to=MV fmt=V8 addr={BEATS - 3} blocks=1 groups=1", r"LD at 0 .*within the design"),
        (f"ST.V src=0 addr={BEATS - 1} count=5", r"ST at 0 .*within the design"),
        (f"ST.W value=1 addr={BEATS} skip=0", rf"ST at 0 .*not reach {BEATS} "),
        (f"ADD a={WORDS - 1} b=0 dst=0 rows=1 words=2", rf"MISC at 0 .*not reach {WORDS} \(ADD"),
        (f"ADD a=0 b=0 dst={WORDS - 1} rows=1 words=2", rf"MISC at 0 .*not reach {WORDS} \(ADD"),
        ("ADD a=r1 b=0 dst=0 rows=1 words=2", r"MISC at 0 .*not reach 65536 \(ADD"),
        (
            f"QUANT src=0 dst={GROUPS - 1} rows=1 len=64 stride=0",
            rf"MISC at 0 .*not reach {GROUPS} ",
        ),
        ("QUANT src=0 dst=0 rows=1 len=16416 stride=0", r"MISC at 0 .*not reach 16416 "),
        (f"QUANTKV src=0 dst={ROWS - 1} rows=1 heads=2 dim=64", rf"MISC .*not reach {ROWS} "),
    ],
)
def test_out_of_range(pair: Pair, text: str, message: str) -> None:
    with pytest.raises(OutOfRange):
        Machine(NANO).run(program(NANO, text, constants={1: 1 << 16}), {})
    fails(pair, text, message, r1=1 << 16)


def test_the_instruction_to_blame_is_the_newest(pair: Pair) -> None:
    """LD asks ahead: what it refuses is not what it is handing on."""
    text = f"LD.V type=fp32 addr=0 dst=0 count=2000\nLD.V type=fp32 addr={BEATS} dst=0 count=9"
    fails(pair, text, rf"LD at 1 must stay within the design, not reach {BEATS}")


def test_a_product_that_is_not_the_streams(pair: Pair) -> None:
    text = "LD.W to=MV fmt=V8 addr=0 blocks=1 groups=1\n"
    text += "NOP\nMV fmt=W8 src=0 dst=0 rows=1 blocks=1 groups=1 stride=1"
    fails(pair, text, r"MV at 2 must have the format and groups of the stream's head \(MV")


def products(engine: str, fields: str, *, groups: int = 2) -> str:
    """A product of V8 at address 3, behind one that is as it should be."""
    load = f"LD.W to={engine} fmt=V8 addr=0 blocks=1 groups={groups}\n"
    return (
        f"{load}{engine} fmt=V8 src=0 dst=0 rows=1 blocks=1 groups={groups} stride=1\n"
        f"{load}{engine} fmt=V8 {fields} groups={groups}"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            products("MV", f"src={GROUPS - 1} dst=0 rows=1 blocks=1 stride=1"),
            rf"MV at 3 must stay within the activation buffer, not reach group {GROUPS} \(MV",
        ),
        (
            products("MM", f"src={GROUPS - 3} dst=0 rows=3 blocks=1 stride=1"),
            rf"MM at 3 must stay within the activation buffer, not reach group {GROUPS} \(MM",
        ),
        (
            products("MV", f"src=0 dst={WORDS} rows=1 blocks=1 stride=1"),
            rf"MV at 3 must stay within the vector buffer, not reach word {WORDS} \(MV",
        ),
        (
            products("MM", f"src=0 dst={WORDS - 40} rows=6 blocks=1 stride=9"),
            rf"MM at 3 must stay within the vector buffer, not reach word {WORDS + 5} \(MM",
        ),
        (
            products("MM", "src=0 dst=0 rows=3 blocks=1 stride=1", groups=STREAM // 4 + 1),
            rf"MM at 3 must have row blocks that fit the weight stream, not of {STREAM // 4 + 1} g",
        ),
    ],
)
def test_products_out_of_range(pair: Pair, text: str, message: str) -> None:
    with pytest.raises(OutOfRange):
        Machine(NANO).run(program(NANO, text), {})
    fails(pair, text, message)


def test_products_that_end_with_the_buffers(pair: Pair) -> None:
    pair.listing(
        f"LD.W to=MM fmt=V8 addr=2000 blocks=1 groups={STREAM // 4}\n"
        f"MM fmt=V8 src={GROUPS - STREAM // 2} dst={WORDS - 22} rows=4 outputs=1"
        f" groups={STREAM // 4} stride=7\n"
        "LD.W to=MV fmt=V8 addr=3000 blocks=9 groups=3\n"
        f"MV fmt=V8 src={GROUPS - 3} dst={WORDS - 10} rows=2 outputs=17 groups=3 stride=5\n"
        f"MV.SYNC signal=ST\nST.V src={WORDS - 64} addr=1400 count=256 wait=MV"
    )


def near(random: Random) -> tuple[str, dict[str, int]]:
    """A product that ends near the end of a buffer or beyond, and its registers."""
    engine, tokens = random.choice(("MM", "MV")), NANO.mpe.tokens
    rows = random.randint(1, tokens if engine == "MV" else 9)
    groups, outputs = random.randint(1, 6), random.randint(1, 30)
    blocks, words = -(-outputs // NANO.rows), -(-outputs // NANO.sfu.lanes)
    stride = random.choice((words, words + 1, WORDS // rows, random.randint(words, WORDS)))
    src = GROUPS - -(-rows // tokens) * groups + random.choice((-200, -1, 0, 0, 1, 1 << 31))
    dst = WORDS - (rows - 1) * stride - words + random.choice((-80, -1, 0, 0, 1, 1 << 31))
    text = (
        f"LD.W to={engine} fmt=V8 addr=2000 blocks={blocks} groups={groups}\n"
        f"{engine} fmt=V8 src=r1 dst=r2 rows={rows} outputs={outputs} groups={groups} stride=r3"
    )
    return text, {"r1": max(0, src), "r2": max(0, dst), "r3": stride}


def test_both_refuse_the_same_products(pair: Pair) -> None:
    """And one that is refused writes nothing: the vector buffers are the same in the end."""
    pair.listing(FILL)
    random, refused = Random(1), 0
    message = r"M[MV] at 1 must stay within the \w+ buffer, not reach \w+ \d+ \(M"
    for _ in range(PRODUCTS):
        text, registers = near(random)
        try:
            pair.listing(text, **registers)
        except OutOfRange:
            refused += 1
            fails(pair, text, message, **registers)
    assert PRODUCTS // 4 < refused < PRODUCTS * 3 // 4
    pair.listing(f"ST.V src=0 addr=1400 count={WORDS * NANO.sfu.lanes}")


def test_outputs_that_are_not_the_stream_s(pair: Pair) -> None:
    text = products("MV", "src=0 dst=0 rows=1 outputs=3 stride=1")
    with pytest.raises(UndefinedBehaviour):
        Machine(NANO).run(program(NANO, text), {})
    fails(pair, text, r"MV at 3 must have outputs that end in the last row block of .* \(MV")


@pytest.mark.slow
def test_sums_that_do_not_fit() -> None:
    """The product is blamed, although others are under way."""
    design = NANO.replace({"mpe.accumulator_bits": 32})
    load = "LD.W to=MV fmt=W8 addr=2000 blocks=2 groups={0}\nMV fmt=W8 src=0 dst={1} rows=1"
    load += " outputs=4 groups={0} stride=1\n"
    text = "LD.V type=fp32 addr=0 dst=0 count=640 signal=MISC\n"
    text += (
        "QUANT src=0 dst=0 slot=0 rows=1 len=640 stride=160 wait=LD signal=MV\nMV.SYNC wait=MISC\n"
    )
    text += load.format(1, 300) + load.format(20, 310) + load.format(1, 320)
    both = Pair(Timing(read_latency=20), design)
    both.write(0, np.full(640, 255 * 127, np.float32))
    both.write(2000, np.full(20_000, 127, np.uint8))
    with pytest.raises(UndefinedBehaviour, match="accumulators must fit 32 bits"):
        both.machine.run(program(design, text), {})
    with pytest.raises(RtlError, match=r"MV at 6 must have sums that fit the accumulator \(MV"):
        both.device.run(program(design, text), {})
    both.close()


def test_weights_left_in_the_stream(pair: Pair) -> None:
    text = "LD.W to=MV fmt=V8 addr=0 blocks=1 groups=1"
    fails(pair, text, r"SYS at 1: the weight stream must be empty at END \(END\)")


def test_token_deadlock(pair: Pair) -> None:
    text = "LD.SYNC wait=ST signal=MISC\nST.SYNC wait=MISC signal=LD\nMISC.SYNC wait=LD signal=ST"
    message = r"makes no progress .*SYS at 3 waits for the engines to end"
    fails(
        pair,
        text,
        message + r".*LD at 0 waits for a token of ST .*ST at 1 .* MISC .*MISC at 2 .* LD",
    )


def test_token_overflow(pair: Pair) -> None:
    text = "LOOP count=300 body=1\nMISC.SYNC signal=ST"
    fails(pair, text, r"MISC at 1 must give ST at most 255 tokens .*\(MISC\.SYNC signal=ST\)")


def test_the_unit_of_the_model_is_named(pair: Pair) -> None:
    whole = program(NANO, f"NOP\nLD.V type=fp32 addr={BEATS} dst=0 count=1")
    named = replace(whole, origins=("", "model.layers.{layer}.norm", ""))
    fails_program(pair, named, r"LD at 1 .* \(model\.layers\.\*\.norm: LD\.V ")


LAYERS = """
LI rd=r1 value=0
LOOP count=3 body=3
LD.V type=fp32 addr=r1+100 dst=0 count=4
SADD rd=r1 a=r1 b=10
LD.V type=fp32 addr=r1+500 dst=0 count=4
"""


@pytest.mark.parametrize(
    ("beat", "place"),
    [
        (100, r"2 .* \(layers\.7\.attn: LD\.V"),
        (110, r"2 .* \(layers\.8\.attn: LD\.V"),
        (120, r"2 .* \(layers\.9\.attn: LD\.V"),
        (510, r"4 .* \(layers\.6\.mlp: LD\.V"),
        (530, r"4 .* \(layers\.8\.mlp: LD\.V"),
    ],
)
@pytest.mark.parametrize(
    ("kind", "does"),
    [(Defect.DECERR, "must be given beat"), (Defect.SILENT, "waits for memory")],
)
def test_the_layer_is_named(pair: Pair, beat: int, place: str, kind: Defect, does: str) -> None:
    """With a machine model beside it, from what each engine has retired."""
    listing = replace(
        program(NANO, LAYERS, inputs={"first_layer": 5}),
        origins=("", "", "layers.{layer}.attn", "layers.{layer}", "layers.{layer-1}.mlp", ""),
        layer_loops={1: 0},
    )
    pair.device.break_memory(range(beat, beat + 1), kind)
    address, _, rest = place.partition(" ")
    with pytest.raises(RtlError, match=rf"LD at {address} {does}{rest}") as caught:
        pair.run(listing, {"first_layer": 7})
    assert "\n" not in str(caught.value)


def test_a_limit_of_cycles(pair: Pair) -> None:
    """The sequencer is at the body of the loop, or behind it and about to turn."""
    pair.device.limit = 3000
    message = r"is at its limit after \d+ cycles: SYS at [12] works"
    fails(pair, "LOOP count=60000 body=1\nNOP", message)
    pair.device.limit = 0
