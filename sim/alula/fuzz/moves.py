"""Random LD and ST, but for the weights of products."""

from collections.abc import Mapping
from functools import partial

from alula.fuzz.draw import Draw, Fields, Maker, Words
from alula.fuzz.text import Piece
from alula.isa.kv import row_bytes


def load(draw: Draw, kind: str, addr: int, count: int, words: Words | None = None) -> list[Piece]:
    """LD.V of `count` values at a beat, to a range, by default any."""
    placed = {"dst": words} if words else {}
    return draw.instruction("LD.V", {"type": kind, "addr": addr, "count": count, **placed})


def store(draw: Draw, addr: int, count: int, words: Words | None = None) -> list[Piece]:
    """ST.V of a range's first `count` values, to a beat."""
    placed = {"src": words} if words else {}
    return draw.instruction("ST.V", {"addr": addr, "count": count, **placed})


def _ld_v(draw: Draw) -> list[Piece]:
    region = draw.random.choice((draw.places.data, draw.places.store))
    kind = draw.random.choice(("fp32", "bf16"))
    addr = draw.random.randrange(region.start, region.end)
    count = (region.end - addr) * draw.design.bytes_per_cycle // (4 if kind == "fp32" else 2)
    return load(draw, kind, addr, draw.count(min(count, draw.space * draw.lanes)))


def _ld_g(draw: Draw) -> list[Piece]:
    table = draw.random.choice(draw.places.tables)
    values: Fields = {"type": table.type, "table": table.addr, "ids": table.ids}
    values |= {"len": table.length, "count": draw.random.randint(0, table.listed)}
    return draw.instruction("LD.G", values)


def _st_v(draw: Draw) -> list[Piece]:
    region = draw.places.store
    addr = draw.random.randrange(region.start, region.end)
    count = (region.end - addr) * draw.design.bytes_per_cycle // 4
    return store(draw, addr, draw.count(min(count, draw.space * draw.lanes)))


def _st_w(draw: Draw) -> list[Piece]:
    region = draw.places.store
    addr = draw.random.randrange(region.start, region.end)
    skip = draw.random.randrange(draw.design.bytes_per_cycle // 4)
    return draw.instruction("ST.W", {"value": draw.number(), "addr": addr, "skip": skip})


def _kv(name: str, draw: Draw) -> list[Piece]:
    cache, random = draw.places.cache, draw.random
    heads = random.randint(1, cache.heads)
    held = draw.design.staging_bytes // row_bytes(cache.groups)
    rows = min(random.randint(0, 5), held // heads)
    row = random.randint(0, held - rows * heads)
    values: Fields = {"heads": heads, "rows": rows}
    if name == "QUANTKV":
        return draw.instruction(
            name, values | {"dst": row, "dim": cache.dim, "stride": random.randint(0, 40)}
        )
    values |= {"src": row, "groups": cache.groups}
    values |= {"position": random.randint(0, cache.positions - rows)}
    if name == "ST.KEY":
        values |= {"addr": cache.k, "stride": cache.k_stride}
    else:
        values |= {"addr": cache.v, "stride": cache.v_stride}
        values |= {"pitch": cache.pitch, "scales": cache.scales}
    return draw.instruction(name, values)


MAKERS: Mapping[str, Maker] = {
    "LD.V": _ld_v,
    "LD.G": _ld_g,
    "ST.V": _st_v,
    "ST.W": _st_w,
    **{name: partial(_kv, name) for name in ("QUANTKV", "ST.KEY", "ST.VALUE")},
}
