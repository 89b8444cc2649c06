"""Random SYS, and tokens for their own sake."""

from collections.abc import Mapping
from functools import partial

from alula.fuzz.draw import FREE, Draw, Maker
from alula.fuzz.text import Part
from alula.isa import Ref
from alula.isa.fields import REGISTERS
from alula.isa.instructions import INSTRUCTIONS, Engine

_ALU = tuple(one.name for one in INSTRUCTIONS if one.engine is Engine.SYS and len(one.fields) == 3)
_SYNCS = ("NOP", *(one.name for one in INSTRUCTIONS if one.name.endswith(".SYNC")))


def _arg(draw: Draw) -> list[Part]:
    return [draw.part("ARG", ["best"], rd=draw.random.choice(FREE))]


def _li(draw: Draw) -> list[Part]:
    return [draw.part("LI", rd=draw.random.choice(FREE), value=draw.constant())]


def _alu(name: str, draw: Draw) -> list[Part]:
    b = Ref(0, max(1, draw.constant())) if name == "SDIV" else draw.number()
    a = draw.random.randrange(REGISTERS)
    return [draw.part(name, rd=draw.random.choice(FREE), a=a, b=b)]


def _sync(name: str, draw: Draw) -> list[Part]:
    piece = draw.piece()
    return [draw.part(name, [piece], [piece] if draw.random.random() < 0.5 else [])]


MAKERS: Mapping[str, Maker] = {
    "ARG": _arg,
    "LI": _li,
    **{name: partial(_alu, name) for name in _ALU},
    **{name: partial(_sync, name) for name in _SYNCS},
}
