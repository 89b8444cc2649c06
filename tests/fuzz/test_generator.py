"""Random programs are legal, say all that they depend on, and cover the ISA."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from alula.design import Design, load_design
from alula.fuzz.generator import random_case
from alula.fuzz.memory import random_places
from alula.fuzz.text import groups, without
from alula.isa import INSTRUCTIONS, WEIGHT_FORMATS, Op, encode_all
from alula.isa.effects import Space
from alula.isa.instructions import BY_NAME
from alula.model import Machine, Retired
from alula.model.errors import MachineError
from alula.model.races import Races

NANO = load_design("nano")
SPARSE = load_design("nano-sparse")
SEED = 20
PROGRAMS = range(40)
FORMATS_OF = {
    "nano": {(fmt, nm) for fmt, nm in WEIGHT_FORMATS if nm == "dense"},
    "nano-sparse": set(WEIGHT_FORMATS),
}


@pytest.fixture(scope="module", params=[NANO, SPARSE], ids=lambda design: design.name)
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(request.param)


@pytest.mark.parametrize("design", [NANO, SPARSE], ids=lambda design: design.name)
def test_every_instruction_and_format_occurs(design: Design) -> None:
    names, products, depth = set(), set(), 0
    for number in range(120):
        ends: list[int] = []
        for address, op in enumerate(random_case(design, SEED, number).program().ops):
            names.add(op.name)
            if op.name in ("MM", "MV"):
                products.add((op.name, op.values["fmt"], op.values["nm"]))
            ends = [end for end in ends if end > address]
            if op.name == "LOOP" and isinstance(body := op.values["body"], int):
                ends.append(address + 1 + body)
                depth = max(depth, len(ends))
    assert names == {instruction.name for instruction in INSTRUCTIONS}
    formats = FORMATS_OF[design.name]
    assert products == {(engine, *one) for engine in ("MM", "MV") for one in formats}
    assert depth >= 3


def test_products_are_of_every_kind_and_say_something() -> None:
    """Block-skipped SDDMM, row blocks that the stream only just holds for several passes, and
    results that are not just zeros."""
    machine, inside, longest = Machine(SPARSE), 0, 0
    starts: set[int] = set()
    told: list[bool] = []

    def see(retired: Retired) -> None:
        nonlocal inside, longest
        values = retired.values
        inside += retired.op.name == "LD.W" and values["addr"] not in starts
        if retired.op.name not in ("MM", "MV"):
            return
        first = values["dst"] * SPARSE.sfu.lanes
        told.append(bool(machine.state.vector[first : first + values["outputs"]].any()))
        if values["rows"] > SPARSE.mpe.tokens:
            fmt = WEIGHT_FORMATS[values["fmt"], values["nm"]]
            longest = max(longest, fmt.beats(1, values["groups"]))

    for number in range(120):
        starts = {one.addr for one in random_places(SPARSE, Random(f"{SEED}/{number}")).matrices}
        case = random_case(SPARSE, SEED, number)
        machine.load(case.image)
        machine.run(case.program(), {}, on_retire=see)
    assert inside > 50
    assert SPARSE.stream_beats * 0.9 < longest <= SPARSE.stream_beats
    assert sum(told) > 0.7 * len(told)


def test_the_same_numbers_give_the_same_program() -> None:
    one, two = (random_case(NANO, SEED, 3) for _ in range(2))
    assert one.program().code == two.program().code
    np.testing.assert_array_equal(one.image.data, two.image.data)
    assert one.program().code != random_case(NANO, SEED + 1, 3).program().code


@pytest.mark.parametrize("number", PROGRAMS)
def test_no_order_that_the_tokens_allow_gives_another_memory(machine: Machine, number: int) -> None:
    case = random_case(machine.design, SEED, number)
    found = []
    for shuffle in (None, Random(1), Random(2)):
        machine.load(case.image)
        machine.run(case.program(), {}, shuffle=shuffle)
        found.append(machine.read(0, case.image.beats))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("number", PROGRAMS)
def test_no_program_has_a_race(machine: Machine, number: int) -> None:
    case = random_case(machine.design, SEED, number)
    machine.load(case.image)
    machine.run(case.program(), {}, on_retire=Races(machine.state).retired)


@pytest.mark.parametrize("number", PROGRAMS[::4])
def test_what_is_left_of_a_program_is_legal(machine: Machine, number: int) -> None:
    case, random = random_case(machine.design, SEED, number), Random(number)
    held = list(groups(case.text))
    for share in (0.2, 0.5, 0.9):
        text = without(case.text, [group for group in held if random.random() < share])
        machine.load(case.image)
        machine.run(case.program(text), {})


def test_a_program_that_forgot_its_tokens_would_be_noticed(machine: Machine) -> None:
    """So that the test of orders can fail."""
    noticed = 0
    for number in PROGRAMS[:12]:
        case = random_case(machine.design, SEED, number)
        program = case.program()
        bare = [Op(op.name, op.values) for op in program.ops]
        found = []
        for ran, shuffle in ((program, None), (replace(program, code=encode_all(bare)), Random(1))):
            machine.load(case.image)
            try:
                machine.run(ran, {}, shuffle=shuffle)
            except MachineError:
                break
            found.append(machine.read(0, case.image.beats))
        noticed += len(found) < 2 or not np.array_equal(*found)
    assert noticed >= 3


@pytest.mark.parametrize("name", ["LD.V", "QUANT", "ADD"])
def test_a_declaration_that_forgot_what_is_written_would_be_noticed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Dependencies follow from what instructions declare: without it the order matters."""
    instruction = BY_NAME[name]
    wrong = replace(instruction, effects=replace(instruction.effects, writes=(), apart=()))
    ranges = {one.first.text for one in instruction.effects.writes if one.space is Space.VECTOR}
    if ranges:  # they are still to be drawn
        wrong = replace(wrong, effects=replace(wrong.effects, reads=instruction.effects.writes))
    monkeypatch.setitem(BY_NAME, name, wrong)
    assert any(orders_differ(machine, number) for number in range(100))


def orders_differ(machine: Machine, number: int) -> bool:
    """Whether some order that a program's tokens allow gives another memory."""
    case, found = random_case(machine.design, SEED, number), []
    program = case.program()
    for shuffle in (None, Random(1), Random(2)):
        machine.load(case.image)
        try:
            machine.run(program, {}, shuffle=shuffle)
        except MachineError:
            break
        found.append(machine.read(0, case.image.beats))
    return any(not np.array_equal(found[0], other) for other in found[1:])
