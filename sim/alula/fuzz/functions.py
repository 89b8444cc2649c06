"""Random MISC: the special functions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from alula.fuzz.draw import EPS, INV, Draw, Maker, Words
from alula.fuzz.memory import Area
from alula.fuzz.text import Part
from alula.isa.formats import GROUP

__all__ = ["MAKERS", "fill", "quant"]


def fill(draw: Draw, area: Area) -> list[Part]:
    """QUANT of all rows of an area, from the beginning of the vector buffer."""
    rows, length = area.tiles * draw.design.mpe.tokens, area.groups * GROUP
    words = -(-length // draw.lanes)
    stride = min(draw.random.randint(1, 40), (draw.space - words) // max(1, rows - 1))
    source = Words(0, 0, (rows - 1) * stride + words)
    values = {"src": 0, "dst": area.base, "slot": 0, "rows": rows}
    values |= {"len": length, "stride": stride}
    return draw.parts("QUANT", values, draw.vector(source), [area.name])


def quant(draw: Draw, area: Area | None = None) -> list[Part]:
    """QUANT into part of the activation buffer, by default any."""
    area = area or draw.random.choice(draw.places.areas)
    held = area.tiles * draw.design.mpe.tokens
    rows = draw.random.randint(0, min(held, 6))
    slot = draw.random.randint(0, held - rows)
    length = draw.random.randint((area.groups - 1) * GROUP + 1, area.groups * GROUP)
    words, stride = -(-length // draw.lanes), draw.random.randint(0, 40)
    source = draw.words(max(0, rows - 1) * stride + words)
    values = {"src": source.operand, "dst": area.base, "slot": slot, "rows": rows}
    values |= {"len": length, "stride": stride}
    return draw.parts("QUANT", values, draw.vector(source), [area.name])


def _norm(name: str, gains: int, draw: Draw) -> list[Part]:
    rows, length = draw.random.randint(0, 4), draw.count(200)
    words = -(-length // draw.lanes)
    gain, source = draw.words(gains * words), draw.words(rows * words)
    target = draw.same_or_apart(rows * words, source, gain)
    values = {"dst": target.operand, "src": source.operand, "gain": gain.operand}
    values |= {"rows": rows, "len": length, "inv": INV, "eps": EPS}
    return draw.parts(name, values, draw.vector(source, gain), draw.vector(target))


def _softmax(draw: Draw) -> list[Part]:
    rows, length = draw.random.randint(0, 4), draw.random.randint(1, 100)
    step = draw.random.randint(0, 1)
    last = length + max(0, rows - 1) * step
    words = -(-(-(-last // GROUP) * GROUP) // draw.lanes)
    stride = words + draw.random.choice((0, 0, 3))
    source = draw.words(max(0, rows - 1) * stride + words)
    scale = draw.words(-(-last // draw.lanes), source)
    values = {"src": source.operand, "rows": rows, "len": length, "step": str(step)}
    values |= {"stride": stride, "scale": scale.operand}
    return draw.parts("SOFTMAX", values, draw.vector(source, scale), draw.vector(source))


def _rope(draw: Draw) -> list[Part]:
    dim, heads = draw.multiple(2 * draw.lanes, 128), draw.random.randint(0, 4)
    rows = draw.random.randint(0, 4)
    words = -(-heads * dim // draw.lanes)
    stride = words + draw.random.choice((0, 0, 5))
    source = draw.words(max(0, rows - 1) * stride + words)
    table = draw.words(-(-rows * dim // draw.lanes), source)
    values = {"src": source.operand, "table": table.operand, "rows": rows, "heads": heads}
    values |= {"dim": dim, "stride": stride}
    return draw.parts("ROPE", values, draw.vector(source, table), draw.vector(source))


def _act(draw: Draw) -> list[Part]:
    count, gated = draw.count(60), draw.random.randint(0, 1)
    a, b = draw.words(count), draw.words(count)
    target = draw.same_or_apart(count, a, *([b] if gated else []))
    values = {"gated": str(gated), "dst": target.operand, "a": a.operand, "b": b.operand}
    return draw.parts("ACT", values | {"count": count}, draw.vector(a, b), draw.vector(target))


def _add(draw: Draw) -> list[Part]:
    rows, words, once = draw.random.randint(0, 4), draw.count(40), draw.random.randint(0, 1)
    a, b = draw.words(rows * words), draw.words(words if once else rows * words)
    target = draw.same_or_apart(rows * words, a, b)
    values = {"dst": target.operand, "a": a.operand, "b": b.operand, "rows": rows}
    values |= {"words": words, "broadcast": str(once)}
    return draw.parts("ADD", values, draw.vector(a, b), draw.vector(target))


def _argmax(draw: Draw) -> list[Part]:
    count = draw.count(200)
    source = draw.words(-(-count // draw.lanes))
    values = {"src": source.operand, "count": count, "base": draw.random.getrandbits(20)}
    return draw.parts("ARGMAX", values, draw.vector(source), ["best"])


MAKERS: Mapping[str, Maker] = {
    "RMSNORM": partial(_norm, "RMSNORM", 1),
    "LAYERNORM": partial(_norm, "LAYERNORM", 2),
    "SOFTMAX": _softmax,
    "ROPE": _rope,
    "ACT": _act,
    "ADD": _add,
    "QUANT": quant,
    "ARGMAX": _argmax,
}
