"""Random programs are legal, say all that they depend on, and cover the ISA."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from alula.design import load_design
from alula.fuzz.generator import random_case
from alula.fuzz.text import groups, without
from alula.isa import FORMATS, INSTRUCTIONS
from alula.model import Machine
from alula.model.errors import MachineError

NANO = load_design("nano")
SEED = 20
PROGRAMS = range(40)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(NANO)


def test_every_instruction_and_format_occurs() -> None:
    names, products, depth = set(), set(), 0
    for number in PROGRAMS:
        ends: list[int] = []
        for address, op in enumerate(random_case(NANO, SEED, number).program().ops):
            names.add(op.name)
            if op.name in ("MM", "MV"):
                products.add((op.name, op.values["fmt"]))
            ends = [end for end in ends if end > address]
            if op.name == "LOOP":
                ends.append(address + 1 + int(op.values["body"]))
                depth = max(depth, len(ends))
    assert names == {instruction.name for instruction in INSTRUCTIONS}
    assert products == {(engine, fmt) for engine in ("MM", "MV") for fmt in FORMATS}
    assert depth >= 3


def test_the_same_numbers_give_the_same_program() -> None:
    one, two = (random_case(NANO, SEED, 3) for _ in range(2))
    assert one.program().code == two.program().code
    np.testing.assert_array_equal(one.image.data, two.image.data)
    assert one.program().code != random_case(NANO, SEED + 1, 3).program().code


@pytest.mark.parametrize("number", PROGRAMS)
def test_no_order_that_the_tokens_allow_gives_another_memory(machine: Machine, number: int) -> None:
    case = random_case(NANO, SEED, number)
    found = []
    for shuffle in (None, Random(1), Random(2)):
        machine.load(case.image)
        machine.run(case.program(), {}, shuffle=shuffle)
        found.append(machine.read(0, case.image.beats * NANO.bytes_per_cycle))
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("number", PROGRAMS[::4])
def test_what_is_left_of_a_program_is_legal(machine: Machine, number: int) -> None:
    case, random = random_case(NANO, SEED, number), Random(number)
    held = list(groups(case.text))
    for share in (0.2, 0.5, 0.9):
        text = without(case.text, [group for group in held if random.random() < share])
        machine.load(case.image)
        machine.run(case.program(text), {})


def test_a_program_that_forgot_its_tokens_would_be_noticed(machine: Machine) -> None:
    """So that the test of orders can fail."""
    from dataclasses import replace

    from alula.isa import Op, encode_all

    noticed = 0
    for number in PROGRAMS[:12]:
        case = random_case(NANO, SEED, number)
        program = case.program()
        bare = [Op(op.name, op.values) for op in program.ops]
        found = []
        for ran, shuffle in ((program, None), (replace(program, code=encode_all(bare)), Random(1))):
            machine.load(case.image)
            try:
                machine.run(ran, {}, shuffle=shuffle)
            except MachineError:
                break
            found.append(machine.read(0, case.image.beats * NANO.bytes_per_cycle))
        noticed += len(found) < 2 or not np.array_equal(*found)
    assert noticed >= 3
