"""Random SYS, and tokens for their own sake."""

from collections.abc import Mapping
from functools import partial

from alula.fuzz.draw import FREE, Draw, Maker
from alula.fuzz.text import Piece
from alula.isa import Ref
from alula.isa.fields import REGISTERS
from alula.isa.instructions import INSTRUCTIONS, Engine

_ALU = tuple(one.name for one in INSTRUCTIONS if one.engine is Engine.SYS and len(one.fields) == 3)
_SYNCS = ("NOP", *(one.name for one in INSTRUCTIONS if one.name.endswith(".SYNC")))


def _arg(draw: Draw) -> list[Piece]:
    return [draw.make("ARG", ["best"], rd=draw.random.choice(FREE))]


def _li(draw: Draw) -> list[Piece]:
    return [draw.make("LI", rd=draw.random.choice(FREE), value=draw.constant())]


def _alu(name: str, draw: Draw) -> list[Piece]:
    b = Ref(0, max(1, draw.constant())) if name == "SDIV" else draw.number()
    a = draw.random.randrange(REGISTERS)
    return [draw.make(name, rd=draw.random.choice(FREE), a=a, b=b)]


def _sync(name: str, draw: Draw) -> list[Piece]:
    resource = draw.resource()
    return [draw.make(name, [resource], [resource] if draw.random.random() < 0.5 else [])]


MAKERS: Mapping[str, Maker] = {
    "ARG": _arg,
    "LI": _li,
    **{name: partial(_alu, name) for name in _ALU},
    **{name: partial(_sync, name) for name in _SYNCS},
}
