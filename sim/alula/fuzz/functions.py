"""Random MISC: the special functions."""

from collections.abc import Callable, Mapping
from functools import partial

from alula.design import GROUP
from alula.fuzz.draw import EPS, INV, Draw, Fields, Maker
from alula.fuzz.memory import Area
from alula.fuzz.text import Piece


def fill(draw: Draw, area: Area) -> list[Piece]:
    """QUANT of all rows of an area, from the beginning of the vector buffer."""
    rows, length = area.tiles * draw.design.mpe.tokens, area.groups * GROUP
    values: Fields = {"src": 0, "dst": area.base, "slot": 0, "rows": rows, "len": length}
    room = draw.space - draw.width("QUANT", values)
    values["stride"] = min(draw.random.randint(1, 40), room // max(1, rows - 1))
    return draw.instruction("QUANT", values)


def quant(draw: Draw, area: Area | None = None) -> list[Piece]:
    """QUANT into part of the activation buffer, by default any."""
    area = area or draw.random.choice(draw.places.areas)
    held = area.tiles * draw.design.mpe.tokens
    rows = draw.random.randint(0, min(held, 6))
    slot = draw.random.randint(0, held - rows)
    length = draw.random.randint((area.groups - 1) * GROUP + 1, area.groups * GROUP)
    values: Fields = {"dst": area.base, "slot": slot, "rows": rows, "len": length}
    return draw.instruction("QUANT", values | {"stride": draw.random.randint(0, 40)})


def _norm(draw: Draw) -> Fields:
    rows, length = draw.random.randint(0, 4), draw.count(200)
    return {"rows": rows, "len": length, "inv": INV, "eps": EPS}


def _softmax(draw: Draw) -> Fields:
    rows, length = draw.random.randint(0, 4), draw.random.randint(1, 100)
    values: Fields = {"rows": rows, "len": length, "step": bool(draw.random.randint(0, 1))}
    stride = draw.width("SOFTMAX", values) + draw.random.choice((0, 0, 3))
    return values | {"stride": stride}


def _rope(draw: Draw) -> Fields:
    dim, heads = draw.multiple(2 * draw.lanes, 128), draw.random.randint(0, 4)
    values: Fields = {"rows": draw.random.randint(0, 4), "heads": heads, "dim": dim}
    return values | {"stride": draw.width("ROPE", values) + draw.random.choice((0, 0, 5))}


def _act(draw: Draw) -> Fields:
    return {"count": draw.count(60), "gated": bool(draw.random.randint(0, 1))}


def _add(draw: Draw) -> Fields:
    rows, once = draw.random.randint(0, 4), bool(draw.random.randint(0, 1))
    return {"rows": rows, "words": draw.count(40), "broadcast": once}


def _soft_cap(draw: Draw) -> Fields:
    rows, words = draw.random.randint(0, 4), draw.count(40)
    stride = words + draw.random.choice((0, 0, 3))
    span = draw.random.choice((INV, EPS))
    return {"rows": rows, "words": words, "stride": stride, "inv": INV, "span": span}


def _argmax(draw: Draw) -> Fields:
    first = bool(draw.random.randint(0, 1))
    return {"count": draw.count(200), "base": draw.random.getrandbits(20), "first": first}


_COUNTS: Mapping[str, Callable[[Draw], Fields]] = {
    "RMSNORM": _norm,
    "LAYERNORM": _norm,
    "SOFTMAX": _softmax,
    "ROPE": _rope,
    "ACT": _act,
    "SOFTCAP": _soft_cap,
    "ADD": _add,
    "ARGMAX": _argmax,
}
"""What is drawn of each; ranges and dependencies follow from what it declares."""


def _make(name: str, draw: Draw) -> list[Piece]:
    return draw.instruction(name, _COUNTS[name](draw))


MAKERS: Mapping[str, Maker] = {
    **{name: partial(_make, name) for name in _COUNTS},
    "QUANT": quant,
}
