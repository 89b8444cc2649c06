"""What each instruction needs: the rules of docs/reference/numerics.md that sizes can break.

Values are whole arrays, an entry for each way a program is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alula.design import Design
from alula.design.engines import MOST_ROW_GROUPS
from alula.ir.limits import most_head_dim
from alula.isa import FORMATS, Op
from alula.isa.formats import GROUP
from alula.isa.instructions import MISC_COUNTS, Engine

Values = NDArray[np.int64]
Fields = dict[str, Any]
"""An instruction's fields: operands as `Values`, immediates and choices as they are."""


@dataclass(frozen=True)
class Extent:
    """Something that an instruction needs: `value` must be `least` to `most`."""

    what: str
    value: Values | int
    most: Values | int
    least: Values | int = 0


def _up(value: Any, step: int) -> Any:
    return -(-value // step)


class Extents:
    """The extents of instructions on a design."""

    def __init__(self, design: Design) -> None:
        self.design = design
        self.beats = design.channel_bytes // design.memory.beat_bytes
        self._streamed: list[tuple[str, Any, Any]] = []

    def of(self, op: Op, fields: Fields) -> Iterator[Extent]:
        """Everything that an instruction needs, in program order: products take what is streamed.

        An entry that does nothing (a count of zero) needs nothing; its extents may be anything
        within the limits of its counts.
        """
        if op.instruction.engine is Engine.MISC:
            for name, most in MISC_COUNTS.items():
                if name in fields:
                    yield Extent(name, fields[name], most)
        found = _RULES.get(op.name)
        if found:
            yield from found(self, **fields)

    def words(self, elements: Any) -> Any:
        """Vector buffer words."""
        return _up(elements, self.design.sfu.lanes)

    def vector(self, name: str, word: Any, count: Any) -> Extent:
        """`count` words from `word` on."""
        return Extent(f"{name} in the vector buffer", word + count, self.design.vector_words)

    def groups(self, name: str, group: Any, count: Any) -> Extent:
        """`count` groups from `group` on."""
        limit = self.design.activation_groups
        return Extent(f"{name} in the activation buffer", group + count, limit)

    def staging(self, name: str, row: Any, count: Any, groups: Any) -> Iterator[Extent]:
        """`count` staging rows from `row` on."""
        yield Extent(f"{name} of a head", GROUP * groups, most_head_dim())
        rows = self.design.staging_bytes // (GROUP * groups + 2)
        yield Extent(f"{name} in staging", row + count, rows)

    def memory(self, name: str, beat: Any, count: Any) -> Extent:
        """`count` beats from `beat` on."""
        return Extent(f"{name} in memory", beat + count, self.beats)

    def push(self, fmt: str, blocks: Any, groups: Any) -> None:
        """Remember what goes into the weight stream."""
        self._streamed.append((fmt, blocks, groups))

    def take(self, fmt: str, outputs: Any, groups: Any) -> Iterator[Extent]:
        """The head of the weight stream must be what a product wants."""
        streamed, blocks, count = self._streamed.pop(0)
        assert streamed == fmt
        wanted = _up(outputs, self.design.rows)
        yield Extent("outputs as streamed", blocks, wanted, wanted)
        yield Extent("groups as streamed", count, groups, groups)


def _load_matrix(
    at: Extents, *, fmt: str, addr: Any, blocks: Any, groups: Any, stride: Any, **_: Any
) -> Iterator[Extent]:
    item = FORMATS[fmt]
    yield Extent("blocks", blocks, 1 << 20, 1)
    yield Extent("groups", groups, 1 << 14, 1)
    packed = item.beats(blocks, groups)
    apart = (blocks - 1) * stride + item.beats(1, groups)
    yield at.memory("addr", addr, np.where(stride > 0, apart, packed))
    at.push(fmt, blocks, groups)


def _element_beats(at: Extents, kind: str, count: Any) -> Any:
    return _up(count * (4 if kind == "fp32" else 2), at.design.bytes_per_cycle)


def _load_vector(at: Extents, *, type: str, addr: Any, dst: Any, count: Any) -> Iterator[Extent]:
    yield at.memory("addr", addr, _element_beats(at, type, count))
    yield at.vector("dst", dst, at.words(count))


def _gather(
    at: Extents, *, type: str, table: Any, ids: Any, count: Any, len: Any, dst: Any
) -> Iterator[Extent]:
    yield at.memory("ids", ids, _up(4 * count, at.design.bytes_per_cycle))
    yield at.memory("table", table, _element_beats(at, type, len))
    yield at.vector("dst", dst, count * at.words(len))


def _store_vector(at: Extents, *, src: Any, addr: Any, count: Any) -> Iterator[Extent]:
    yield at.memory("addr", addr, _element_beats(at, "fp32", count))
    yield at.vector("src", src, at.words(count))


def _store_word(at: Extents, *, addr: Any, skip: Any, **_: Any) -> Iterator[Extent]:
    yield at.memory("addr", addr, 1)
    yield Extent("skip", skip, at.design.bytes_per_cycle // 4 - 1)


def _store_keys(
    at: Extents, *, src: Any, addr: Any, heads: Any, rows: Any, groups: Any, stride: Any,
    position: Any,
) -> Iterator[Extent]:  # fmt: skip
    yield from at.staging("src", src, heads * rows, groups)
    last = np.maximum(position + rows - 1, 0)
    end = FORMATS["W8"].beats(last // at.design.rows + 1, groups)
    yield at.memory("addr", addr, (heads - 1) * stride + end)


def _store_values(
    at: Extents, *, src: Any, addr: Any, heads: Any, rows: Any, groups: Any, stride: Any,
    position: Any, pitch: Any, scales: Any,
) -> Iterator[Extent]:  # fmt: skip
    yield from at.staging("src", src, heads * rows, groups)
    last = np.maximum(position + rows - 1, 0)
    base = (heads - 1) * stride
    block = (GROUP * groups - 1) // at.design.rows
    yield at.memory("addr", addr, base + block * pitch + last // 16 * 2 + 2)
    yield at.memory("scales", addr, base + scales + 2 * last // at.design.bytes_per_cycle + 1)


def _product(
    at: Extents, *, fmt: str, src: Any, groups: Any, outputs: Any, rows: Any, dst: Any, stride: Any,
    **_: Any,
) -> Iterator[Extent]:  # fmt: skip
    yield from at.take(fmt, outputs, groups)
    yield Extent("rows", rows, 1 << 16, 1)
    words = at.words(outputs)
    yield Extent("stride", np.where(rows > 1, stride, words), 1 << 16, words)
    yield at.groups("src", src, _up(rows, at.design.mpe.tokens) * groups)
    yield at.vector("dst", dst, (rows - 1) * stride + words)
    held = np.where(rows > at.design.mpe.tokens, FORMATS[fmt].beats(1, groups), 0)
    yield Extent("row block in the weight stream", held, at.design.stream_beats)


def _single(at: Extents, *, rows: Any, **fields: Any) -> Iterator[Extent]:
    yield Extent("rows", rows, at.design.mpe.tokens)
    yield from _product(at, rows=rows, **fields)


def _norm(gains: int) -> Callable[..., Iterator[Extent]]:
    def rule(
        at: Extents, *, dst: Any, src: Any, gain: Any, rows: Any, len: Any, **_: Any
    ) -> Iterator[Extent]:
        words = at.words(len)
        yield at.vector("dst", dst, rows * words)
        yield at.vector("src", src, rows * words)
        yield at.vector("gain", gain, gains * words)

    return rule


def _softmax(
    at: Extents, *, src: Any, rows: Any, len: Any, step: str, stride: Any, scale: Any
) -> Iterator[Extent]:
    last = np.maximum(len + (rows - 1) * int(step), 1)
    width = at.words(_up(last, GROUP) * GROUP)
    yield Extent("len", np.where(rows > 0, len, 1), 1 << 16, 1)
    yield at.vector("src", src, np.where(rows > 0, (rows - 1) * stride + width, 0))
    yield at.vector("scale", scale, at.words(last))


def _rope(
    at: Extents, *, src: Any, table: Any, rows: Any, heads: Any, dim: int, stride: Any
) -> Iterator[Extent]:
    yield Extent("dim % (2 L)", dim % (2 * at.design.sfu.lanes), 0)
    yield at.vector("src", src, np.maximum(rows - 1, 0) * stride + at.words(heads * dim))
    yield at.vector("table", table, at.words(rows * dim))


def _act(
    at: Extents, *, dst: Any, a: Any, b: Any, count: Any, gated: str, **_: Any
) -> Iterator[Extent]:
    yield at.vector("dst", dst, count)
    yield at.vector("a", a, count)
    yield at.vector("b", b, count if gated == "1" else 0)


def _add(
    at: Extents, *, dst: Any, a: Any, b: Any, rows: Any, words: Any, broadcast: str
) -> Iterator[Extent]:
    yield at.vector("dst", dst, rows * words)
    yield at.vector("a", a, rows * words)
    yield at.vector("b", b, words if broadcast == "1" else rows * words)


def _quant(
    at: Extents, *, src: Any, dst: Any, slot: Any, rows: Any, len: Any, stride: Any
) -> Iterator[Extent]:
    groups = _up(len, GROUP)
    yield Extent("groups", groups, MOST_ROW_GROUPS)
    yield at.vector("src", src, np.maximum(rows - 1, 0) * stride + at.words(len))
    yield at.groups("dst", dst, _up(slot + rows, at.design.mpe.tokens) * groups)


def _quant_kv(
    at: Extents, *, src: Any, dst: Any, rows: Any, heads: Any, dim: int, stride: Any
) -> Iterator[Extent]:
    yield Extent("dim % L", dim % at.design.sfu.lanes, 0)
    yield at.vector("src", src, np.maximum(rows - 1, 0) * stride + at.words(heads * dim))
    yield from at.staging("dst", dst, rows * heads, _up(dim, GROUP))


def _argmax(at: Extents, *, src: Any, count: Any, **_: Any) -> Iterator[Extent]:
    yield at.vector("src", src, at.words(count))


_RULES: dict[str, Callable[..., Iterator[Extent]]] = {
    "LD.W": _load_matrix,
    "LD.V": _load_vector,
    "LD.G": _gather,
    "ST.V": _store_vector,
    "ST.W": _store_word,
    "ST.K": _store_keys,
    "ST.T": _store_values,
    "MM": _product,
    "MV": _single,
    "RMSNORM": _norm(1),
    "LAYERNORM": _norm(2),
    "SOFTMAX": _softmax,
    "ROPE": _rope,
    "ACT": _act,
    "ADD": _add,
    "QUANT": _quant,
    "QUANTKV": _quant_kv,
    "ARGMAX": _argmax,
}
