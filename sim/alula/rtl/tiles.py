"""Which part of an instruction's work a byte is: rows, outputs, row blocks, heads."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from alula.design import GROUP, Design
from alula.isa import WEIGHT_FORMATS
from alula.isa.effects import Range, Space, sizes
from alula.isa.formula import numbers
from alula.isa.instructions import BY_NAME
from alula.isa.kv import kv_places
from alula.model.writes import STAGING_ROW, WORD

_Known = Mapping[str, Any]
"""The instruction's fields as numbers, and the machine's sizes."""


def tile(name: str, values: Mapping[str, Any], design: Design, space: Space, byte: int) -> str:
    """Name the part of the work of instruction `name` that wrote a byte of a space.

    `values`: its fields, resolved. "" where there are no parts.
    """
    one = BY_NAME[name].effects.writes[0]
    known = numbers(values) | sizes(design)
    match space:
        case Space.STREAM:
            return _matrix(values, design, byte)
        case Space.VECTOR:
            return _vector(one, known, byte)
        case Space.ACTIVATIONS | Space.SIDES:
            return _quantised(one, known, space, byte)
        case Space.STAGING | Space.SCALES:
            row, value = divmod(byte, STAGING_ROW if space is Space.STAGING else WORD)
            part = f"value {value}" if space is Space.STAGING else "scale"
            return _of_token(row - one.first(known), known, part)
        case Space.MEMORY if one.part:
            places = kv_places(design.bytes_per_cycle, design.memory.beat_bytes, **values)
            row, value = (int(found[0]) for found in np.nonzero(places == byte))
            part = f"value {value}" if value < GROUP * known["groups"] else "scale"
            return _of_token(row, known, part)
        case Space.MEMORY if "count" in known:
            return f"element {(byte - one.first(known) * design.bytes_per_cycle) // 4}"
    return ""


def _vector(one: Range, known: _Known, byte: int) -> str:
    element, lanes = byte // 4 - one.first(known) * known["L"], known["L"]
    if one.rows == Range(Space.VECTOR).rows:
        return f"element {element}"
    row, stride = 0, one.stride(known)
    if one.rows(known) > 1:
        row, element = divmod(element, stride * lanes)
    if "outputs" in known:
        block = element // (known["P"] * known["R"])
        return f"row {row}, output {element} (row block {block})"
    if "heads" in known:
        return "token {}, head {}, element {}".format(row, *divmod(element, known["dim"]))
    return f"row {row}, element {element}"


def _quantised(one: Range, known: _Known, space: Space, byte: int) -> str:
    place, rest = divmod(byte, GROUP if space is Space.ACTIVATIONS else WORD)
    group, slot = divmod(place, known["T"])
    several, group = divmod(group - one.first(known), one.count(known))
    row = several * known["T"] + slot - one.skip(known)
    if space is Space.ACTIVATIONS:
        return f"row {row}, input {GROUP * group + rest}"
    return f"row {row}, scale, sum and exponent of group {group}"


def _of_token(row: int, known: _Known, part: str) -> str:
    token, head = divmod(row, known["heads"])
    return f"token {token}, head {head}, {part}"


def _matrix(values: Mapping[str, Any], design: Design, byte: int) -> str:
    beat = byte // design.bytes_per_cycle
    fmt, groups = WEIGHT_FORMATS[values["fmt"], values["nm"]], values["groups"]
    if values["stride"]:
        block, rest = divmod(beat, fmt.beats(1, groups))
        address = values["addr"] + block * values["stride"] + rest
    else:
        starts = (fmt.beats(block, groups) for block in range(1, values["blocks"]))
        block = sum(start <= beat for start in starts)
        address = values["addr"] + beat
    return f"row block {block}, from memory beat {address}"
