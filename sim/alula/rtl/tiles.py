"""Which part of an instruction's work a byte is: rows, outputs, row blocks, heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from alula.design import Design
from alula.isa import WEIGHT_FORMATS
from alula.isa.effects import Range, sizes
from alula.isa.formats import GROUP, PATTERNS
from alula.isa.formula import numbers
from alula.isa.instructions import BY_NAME
from alula.model.kv import kv_places
from alula.model.writes import STAGING_ROW, WORD, Space

__all__ = ["tile"]

_Values = Mapping[str, Any]
_Namer = Callable[[_Values, Design, Space, int], str]


def tile(name: str, values: _Values, design: Design, space: Space, byte: int) -> str:
    """Name the part of the work of instruction `name` that wrote a byte of a space.

    `values`: its fields, resolved. "" where there are no parts.
    """
    if name in _NAMERS:
        return _NAMERS[name](values, design, space, byte)
    return _declared(name, values, design, byte) if space is Space.VECTOR else ""


def _declared(name: str, v: _Values, design: Design, byte: int) -> str:
    """As the instruction declares what it writes."""
    (written,) = BY_NAME[name].effects.writes
    if written.rows == Range(Space.VECTOR).rows:
        return f"element {_row(v, design, byte, written.first.text, 0)[1]}"
    known = numbers(v) | sizes(design)
    stride = written.stride(known) if written.rows(known) > 1 else 0
    return "row {}, element {}".format(*_row(v, design, byte, written.first.text, stride))


def _words(design: Design, elements: int) -> int:
    return -(-elements // design.sfu.lanes)


def _row(v: _Values, design: Design, byte: int, first: str, pitch: int) -> tuple[int, int]:
    """Row and element within it, of rows that lie `pitch` words apart from field `first` on."""
    element = byte // 4 - v[first] * design.sfu.lanes
    return divmod(element, pitch * design.sfu.lanes) if pitch else (0, element)


def _matrix(v: _Values, design: Design, space: Space, byte: int) -> str:
    beat = byte // design.bytes_per_cycle
    fmt, groups = WEIGHT_FORMATS[v["fmt"], v["nm"]], v["groups"]
    if v["stride"]:
        block, rest = divmod(beat, fmt.beats(1, groups))
        address = v["addr"] + block * v["stride"] + rest
    else:
        starts = (fmt.beats(block, groups) for block in range(1, v["blocks"]))
        block = sum(start <= beat for start in starts)
        address = v["addr"] + beat
    return f"row block {block}, from memory beat {address}"


def _gathered(v: _Values, design: Design, space: Space, byte: int) -> str:
    return "row {}, element {}".format(*_row(v, design, byte, "dst", _words(design, v["len"])))


def _product(v: _Values, design: Design, space: Space, byte: int) -> str:
    row, output = _row(v, design, byte, "dst", v["stride"] if v["rows"] > 1 else 0)
    block = output // (PATTERNS[v["nm"]].parts * design.rows)
    return f"row {row}, output {output} (row block {block})"


def _softmax(v: _Values, design: Design, space: Space, byte: int) -> str:
    row, entry = _row(v, design, byte, "src", v["stride"] if v["rows"] > 1 else 0)
    return f"row {row}, entry {entry}"


def _rope(v: _Values, design: Design, space: Space, byte: int) -> str:
    token, element = _row(v, design, byte, "src", v["stride"] if v["rows"] > 1 else 0)
    return "token {}, head {}, element {}".format(token, *divmod(element, v["dim"]))


def _added(v: _Values, design: Design, space: Space, byte: int) -> str:
    return "row {}, element {}".format(*_row(v, design, byte, "dst", v["words"]))


def _quantised(v: _Values, design: Design, space: Space, byte: int) -> str:
    tokens, groups = design.mpe.tokens, -(-v["len"] // GROUP)
    place, rest = divmod(byte, GROUP if space is Space.ACTIVATIONS else WORD)
    group, slot = divmod(place, tokens)
    several, group = divmod(group - v["dst"], groups)
    row = several * tokens + slot - v["slot"]
    if space is Space.ACTIVATIONS:
        return f"row {row}, input {GROUP * group + rest}"
    return f"row {row}, scale, sum and exponent of group {group}"


def _staged(v: _Values, design: Design, space: Space, byte: int) -> str:
    row, value = divmod(byte, STAGING_ROW if space is Space.STAGING else WORD)
    token, head = divmod(row - v["dst"], v["heads"])
    part = f"value {value}" if space is Space.STAGING else "scale"
    return f"token {token}, head {head}, {part}"


def _stored(v: _Values, design: Design, space: Space, byte: int) -> str:
    return f"element {(byte - v['addr'] * design.bytes_per_cycle) // 4}"


def _cached(v: _Values, design: Design, space: Space, byte: int) -> str:
    places = kv_places(design.bytes_per_cycle, design.memory.beat_bytes, **v)
    row, value = (int(found[0]) for found in np.nonzero(places == byte))
    token, head = divmod(row, v["heads"])
    part = f"value {value}" if value < GROUP * v["groups"] else "scale"
    return f"token {token}, head {head}, {part}"


_NAMERS: dict[str, _Namer] = {
    "LD.W": _matrix,
    "LD.G": _gathered,
    "ST.V": _stored,
    "ST.K": _cached,
    "ST.T": _cached,
    "MM": _product,
    "MV": _product,
    "RMSNORM": _gathered,
    "LAYERNORM": _gathered,
    "SOFTMAX": _softmax,
    "ROPE": _rope,
    "ADD": _added,
    "QUANT": _quantised,
    "QUANTKV": _staged,
}
