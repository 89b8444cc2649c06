"""Random LD and ST, but for the weights of products."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from alula.fuzz.draw import Draw, Maker, Words
from alula.fuzz.text import Part
from alula.isa.formats import GROUP

__all__ = ["MAKERS", "load", "store"]


def load(draw: Draw, kind: str, addr: int, count: int, words: Words) -> list[Part]:
    """LD.V of `count` values that stand at a beat, to a range."""
    beats = -(-count * (4 if kind == "fp32" else 2) // draw.design.bytes_per_cycle)
    return draw.parts(
        "LD.V",
        {"type": kind, "addr": addr, "dst": words.operand, "count": count},
        draw.stored(addr, beats),
        draw.vector(words),
    )


def store(draw: Draw, words: Words, addr: int, count: int) -> list[Part]:
    """ST.V of a range's first `count` values, to a beat."""
    beats = -(-4 * count // draw.design.bytes_per_cycle)
    return draw.parts(
        "ST.V",
        {"src": words.operand, "addr": addr, "count": count},
        draw.vector(words),
        draw.stored(addr, beats),
    )


def _ld_v(draw: Draw) -> list[Part]:
    region = draw.random.choice((draw.places.data, draw.places.store))
    kind = draw.random.choice(("fp32", "bf16"))
    addr = draw.random.randrange(region.start, region.end)
    count = (region.end - addr) * draw.design.bytes_per_cycle // (4 if kind == "fp32" else 2)
    count = draw.count(min(count, draw.space * draw.lanes))
    return load(draw, kind, addr, count, draw.words(-(-count // draw.lanes)))


def _ld_g(draw: Draw) -> list[Part]:
    table = draw.random.choice(draw.places.tables)
    count = draw.random.randint(0, table.listed)
    words = draw.words(count * -(-table.length // draw.lanes))
    values = {"type": table.type, "table": table.addr, "ids": table.ids, "count": count}
    values |= {"len": table.length, "dst": words.operand}
    return draw.parts("LD.G", values, (), draw.vector(words))


def _st_v(draw: Draw) -> list[Part]:
    region = draw.places.store
    addr = draw.random.randrange(region.start, region.end)
    count = (region.end - addr) * draw.design.bytes_per_cycle // 4
    count = draw.count(min(count, draw.space * draw.lanes))
    return store(draw, draw.words(-(-count // draw.lanes)), addr, count)


def _st_w(draw: Draw) -> list[Part]:
    region = draw.places.store
    addr = draw.random.randrange(region.start, region.end)
    skip = draw.random.randrange(draw.design.bytes_per_cycle // 4)
    values = {"value": draw.number(), "addr": addr, "skip": skip}
    return draw.parts("ST.W", values, (), draw.stored(addr, 1))


def _kv(name: str, draw: Draw) -> list[Part]:
    cache, random = draw.places.cache, draw.random
    heads = random.randint(1, cache.heads)
    held = draw.design.staging_bytes // (GROUP * cache.groups + 2)
    rows = min(random.randint(0, 5), held // heads)
    row = random.randint(0, held - rows * heads)
    if name == "QUANTKV":
        stride, words = random.randint(0, 40), -(-heads * cache.dim // draw.lanes)
        source = draw.words(max(0, rows - 1) * stride + words)
        values = {"src": source.operand, "dst": row, "rows": rows, "heads": heads}
        values |= {"dim": cache.dim, "stride": stride}
        return draw.parts(name, values, draw.vector(source), ["staging"])
    values = {"src": row, "heads": heads, "rows": rows, "groups": cache.groups}
    values |= {"position": random.randint(0, cache.positions - rows)}
    if name == "ST.K":
        values |= {"addr": cache.k, "stride": cache.k_stride}
    else:
        values |= {"addr": cache.v, "stride": cache.v_stride}
        values |= {"pitch": cache.pitch, "scales": cache.scales}
    return draw.parts(name, values, ["staging"], ["cache"])


MAKERS: Mapping[str, Maker] = {
    "LD.V": _ld_v,
    "LD.G": _ld_g,
    "ST.V": _st_v,
    "ST.W": _st_w,
    **{name: partial(_kv, name) for name in ("QUANTKV", "ST.K", "ST.T")},
}
