"""Programs that no machine of a design runs are refused before they run, with line and reason."""

import time
from pathlib import Path

import pytest

from alula.design import load_design
from alula.isa import (
    ContainerError,
    IsaError,
    MalformedProgram,
    Op,
    Program,
    Ref,
    assemble,
    assemble_program,
    check_structure,
    disassemble,
    encode_all,
)
from alula.model import Machine, UndefinedBehaviour

NANO = load_design("nano")
WORDS = NANO.program_bytes // 16
END = "code must reach END, not run past address"


def nest(depth: int) -> str:
    """Loops in each other around a NOP, and END."""
    heads = [f"LOOP count=1 body={body}" for body in range(depth, 0, -1)]
    return "\n".join([*heads, "NOP", "END"])


GOOD = {
    "END alone": "END",
    "END in a loop": "LOOP count=2 body=1\nEND",
    "END in a loop that may be skipped": "LOOP count=r1 body=1\nEND",
    "nothing behind a loop without a body": "END\nLOOP count=2 body=0",
    "loops that end together": "LOOP count=2 body=2\nLOOP count=2 body=1\nNOP\nEND",
    "four deep": nest(4),
    "five loops, one without a body": nest(4).replace("NOP", "LOOP count=2 body=0"),
    "the whole memory": "NOP\n" * (WORDS - 1) + "END",
    "a loop around the rest": "LOOP count=2 body=2\nNOP\nEND",
}
BAD = {
    "nothing": ("", 1, f"{END} -1"),
    "no END": ("NOP\n\nNOP ; END", 3, f"{END} 1"),
    "an END that is skipped": ("NOP\nLOOP count=0 body=1\nEND", 3, f"{END} 2"),
    "a body beyond the code": (
        "NOP\n; here\nLOOP count=2 body=3\nNOP\nEND",
        3,
        "LOOP body must end by address 4, not 5",
    ),
    "a body beyond the body around it": (
        "LOOP count=2 body=2\nNOP\nLOOP count=2 body=1\nNOP\nEND",
        3,
        "LOOP body must end by address 3, not 4",
    ),
    "five deep": (nest(5), 5, "LOOP depth must be at most 4, not 5"),
    "too long": (
        "NOP\n" * WORDS + "END",
        WORDS + 1,
        f"code must be at most {WORDS} instructions, not {WORDS + 1}",
    ),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_what_may_run(text: str) -> None:
    program = assemble_program(text, NANO, "p")
    assert (program.ops, program.design_hash) == (tuple(assemble(text)), NANO.hash)
    check_structure(program.ops, NANO)


@pytest.mark.parametrize(("text", "line", "fault"), BAD.values(), ids=BAD)
def test_what_nothing_runs(text: str, line: int, fault: str) -> None:
    with pytest.raises(IsaError) as refused:
        assemble_program(text, NANO, "p", "p.s")
    assert str(refused.value) == f"p.s:{line}: {fault}"
    ops = assemble(text)
    with pytest.raises(MalformedProgram) as malformed:
        check_structure(ops, NANO)
    assert malformed.value.fault == fault
    with pytest.raises(UndefinedBehaviour) as failed:
        Machine(NANO).run(Program("p", NANO.hash, encode_all(ops), {}, {}), {})
    assert failed.value.fault == fault
    assert failed.value.address == malformed.value.address


def test_the_command_writes_nothing_then(alula, tmp_path: Path) -> None:
    source, out = tmp_path / "p.s", tmp_path / "p.alula"
    source.write_text("NOP\nLOOP count=2 body=9\nEND\n")
    result = alula("asm", source, "-o", out, "--design", "nano")
    line = f"alula: {source}:2: LOOP body must end by address 3, not 11"
    assert (result.code, result.out, result.errors) == (2, "", [line])
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("LI rd=r1 value=1_000", "LI value must be a number, not 1_000"),
        ("LI rd=r1 value=١", "LI value must be a number, not ١"),
        ("LI rd=r1 value=+5", "LI value must be a number, not +5"),
        ("LI rd=r1 value=010", "LI value must be a number without leading zeros, not 010"),
        (f"LI rd=r1 value={'9' * 5000}", "a line must be at most 1000 characters, not 5015"),
        ("NOP\n" * 65536 + "NOP", "code must be at most 65536 instructions, not more"),
    ],
)
def test_bounds_of_a_listing(text: str, words: str) -> None:
    with pytest.raises(IsaError) as refused:
        assemble(text, "p.s")
    assert str(refused.value) == f"p.s:{text.count(chr(10)) + 1}: {words}"


def test_bounds_of_a_program_file(tmp_path: Path) -> None:
    path = tmp_path / "p.alula"
    Program("p", "", bytes((1 << 20) + 16), {}, {}).save(path)
    with pytest.raises(ContainerError, match="code must be at most 1048576 bytes, not 1048592"):
        Program.load(path)
    Program("p" * (17 << 20), "", b"", {}, {}).save(path)
    with pytest.raises(ContainerError, match="header must be at most 16777216 bytes, not 178"):
        Program.load(path)


def test_loops_in_each_other_take_no_more_room_the_deeper_they_are() -> None:
    count = 20_000
    ops = [Op("LOOP", {"count": Ref(0, 1), "body": count - at}) for at in range(count)]
    started = time.monotonic()
    text = disassemble([*ops, Op("END")])
    assert time.monotonic() - started < 10
    assert len(text) < 60 * count
    assert text.splitlines()[-2].startswith("                LOOP ")
    assert encode_all(assemble(text)) == encode_all([*ops, Op("END")])
