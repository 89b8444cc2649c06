"""Random legal programs.

Each instruction of the ISA has a maker, which draws its fields so that no rule of
docs/reference/numerics.md is broken: ranges exist, destinations are sources or apart from them,
streams are taken as they were pushed, KV rows lie in their cache. Which engine must
wait for which follows from what the pieces touch. What makes a program legal
is kept when any group of it is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from random import Random

from alula.design import Design
from alula.fuzz import control, functions, moves
from alula.fuzz.draw import FREE, LOOPS, Draw, DrawnLoop, Fields, Maker, NoRoom, Words
from alula.fuzz.memory import random_places
from alula.fuzz.products import products
from alula.fuzz.text import Piece, Repeat, Text, assembled
from alula.isa import Image, Program, Ref
from alula.isa.fields import REGISTERS
from alula.isa.instructions import LOOP_DEPTH
from alula.isa.kv import row_bytes
from alula.rtl.device import Timing

_MAKERS: Mapping[str, Maker] = {**moves.MAKERS, **functions.MAKERS, **control.MAKERS}
"""Of every instruction but products and loops."""
_BETWEEN = ("ADD", "ACT", "RMSNORM", "QUANT", "ST.V", "ST.W", "ARGMAX", "SADD", "NOP")
"""What may come between the loads of products and the products."""
_LENGTH = 60
"""Instructions of a program at most, about, without loads at its start and stores at its end."""
_PACE = 40
"""Iterations of all the loops around an instruction, at most."""


@dataclass(frozen=True)
class FuzzCase:
    """A random program with its memory, made from a seed.

    Attributes:
        name: seed and number.
        design: that it is for.
        text: the program without tokens; `program` has them.
        closing: what makes buffers and registers visible in memory at the end.
        constants: values of registers.
        image: memory at the start.
        timing: of the gateware's memory.
    """

    name: str
    design: Design
    text: Text
    closing: Text
    constants: dict[int, int]
    image: Image
    timing: Timing

    def program(self, text: Text | None = None) -> Program:
        """The program, or that of a shorter text."""
        chosen = self.text if text is None else text
        return assembled(self.name, self.design, (*chosen, *self.closing), self.constants)


def random_case(design: Design, seed: int, number: int) -> FuzzCase:
    """Return a random program, the same for the same arguments."""
    random = Random(f"{seed}/{number}")
    places = random_places(design, random)
    draw = Draw(design, places, random)
    text = [*_opening(draw), *_text(draw, random.randint(1, _LENGTH))]
    timing = Timing(
        read_latency=random.choice((None, random.randint(1, 200))),
        write_latency=random.randint(1, 50),
        stalls=random.choice((0, 20, 100)),
        seed=random.getrandbits(31),
    )
    return FuzzCase(
        f"fuzz-{seed}-{number}",
        design,
        tuple(text),
        tuple(_closing(draw)),
        draw.constants,
        places.image,
        timing,
    )


def _opening(draw: Draw) -> list[Piece]:
    """Numbers for the words that the program works on, and for the whole activation buffer."""
    data = draw.places.data
    held = data.beats * draw.design.bytes_per_cycle // 4
    pieces: list[Piece] = []
    for start in range(0, draw.space, 512):
        count = min(draw.random.randint(-(-held // 2), held), (draw.space - start) * draw.lanes)
        words = Words(start, start, -(-count // draw.lanes))
        pieces += moves.load(draw, "fp32", data.start, count, words)
    for area in draw.places.areas:
        pieces += functions.fill(draw, area)
    return pieces


def _closing(draw: Draw) -> list[Piece]:
    """Store the vector buffer, every register, ARGMAX's result and staging."""
    dump, words = draw.places.dump.start, draw.design.vector_words
    count = words * draw.lanes
    draw.group += 1
    pieces = [
        draw.make("ARG", reads=["best"], rd=FREE[0]),
        *moves.store(draw, dump, count, Words(0, 0, words)),
    ]
    place = dump + -(-4 * count // draw.design.bytes_per_cycle)
    for register in range(1, REGISTERS):
        values = {"value": Ref(register), "addr": place + register, "skip": 0}
        pieces.append(draw.make("ST.W", **values))
    groups = draw.places.cache.groups
    rows = draw.design.staging_bytes // row_bytes(groups)
    where = {"addr": place + REGISTERS, "rows": rows, "groups": groups}
    everything: Fields = {"src": 0, "heads": 1, "stride": 0, "position": 0, **where}
    return [*pieces, *draw.instruction("ST.KEY", everything)]


def _text(draw: Draw, length: int) -> list[Piece | Repeat]:
    """Draw about so many instructions."""
    random = draw.random
    items: list[Piece | Repeat] = []
    while length > 0:
        draw.group += 1
        choice = random.random()
        try:
            if choice < 0.12 and len(draw.loops) < LOOP_DEPTH:
                made = _repeat(draw, random.randint(1, max(1, length // 2)))
            elif choice < 0.3:
                made = products(draw, [_MAKERS[name] for name in _BETWEEN])
            else:
                made = random.choice(tuple(_MAKERS.values()))(draw)
        except NoRoom:
            continue
        items += made
        length -= max(1, len(made))
    return items


def _repeat(draw: Draw, length: int) -> list[Piece | Repeat]:
    """A loop around about so many instructions, with a register that grows in it."""
    random, group = draw.random, draw.group
    register = LOOPS[len(draw.loops)]
    around = prod(loop.count for loop in draw.loops)
    count = random.choice((0, 1, 2, 3, random.randint(1, 9)))
    count = min(count, _PACE // max(around, 1))
    loop = DrawnLoop(register, random.randint(0, 9), count)
    with draw.inside(loop):
        body = _text(draw, length)
    draw.group += 1
    add = Piece(group, "SADD", {"rd": register, "a": register, "b": loop.step})
    start = Piece(group, "LI", {"rd": register, "value": 0})
    before, values = draw.operands("LOOP", {"count": count}, group)
    # The step is the loop's own: without the loop its body is gone as well.
    return [start, *before, Repeat(group, values["count"], (*body, add))]
