"""The KV cache in a device's memory, read and written by rows of tokens."""

from collections.abc import Iterator

import numpy as np

from alula.design import Design
from alula.ir import AttentionBlocks
from alula.ir.attention_blocks import BLOCK
from alula.isa.kv import Places, kv_places
from alula.mapper import KvLayout
from alula.quant import get_rows, put_rows
from alula.runtime.device import Device
from alula.runtime.worker import KvRows


class KvMemory:
    """Moves keys and values between rows of tokens and the beats that hold them.

    A layer's whole cache crosses, whatever the number of tokens.

    Args:
        layout: where the cache of each layer and head lies.
        design: the accelerator.
        device: whose memory it is.
        base: first beat of the cache.
        blocks: which blocks of positions are attended to; None: all.
    """

    def __init__(
        self,
        layout: KvLayout,
        design: Design,
        device: Device,
        base: int,
        blocks: AttentionBlocks | None = None,
    ) -> None:
        self._layout = layout
        self._device = device
        self._base = base
        self._blocks = blocks
        self._widths = design.bytes_per_cycle, design.memory.beat_bytes

    def read(self, layer: int, start: int, stop: int) -> KvRows:
        """Return the tokens from `start` up to `stop` of a layer.

        What no token from the last of these on attends to may not be held any more: it is zeros.
        """
        region = self._device.read(self._place(layer), self._layout.layer_stride)
        shape = stop - start, self._layout.heads
        values = (*shape, self._layout.head_dim)
        rows = KvRows(
            np.zeros(values, np.int8),
            np.zeros(shape, np.float32),
            np.zeros(values, np.int8),
            np.zeros(shape, np.float32),
        )
        for part, heads, places in self._parts(start, stop):
            keys, values = self._places(places[0], part.stop - part.start, heads)
            some = slice(heads.start, heads.stop)
            rows.k[part, some], rows.k_scale[part, some] = get_rows(region, keys, len(heads))
            rows.v[part, some], rows.v_scale[part, some] = get_rows(region, values, len(heads))
        return rows

    def write(self, layer: int, start: int, rows: KvRows) -> None:
        """Write the tokens of a layer from `start` on; all others stay as they are."""
        region = self._device.read(self._place(layer), self._layout.layer_stride)
        for part, heads, places in self._parts(start, start + len(rows)):
            some = slice(heads.start, heads.stop)
            for place in places:
                keys, values = self._places(place, part.stop - part.start, heads)
                put_rows(region, keys, rows.k[part, some], rows.k_scale[part, some])
                put_rows(region, values, rows.v[part, some], rows.v_scale[part, some])
        self._device.write(self._place(layer), region)

    def _parts(self, start: int, stop: int) -> Iterator[tuple[slice, range, list[int]]]:
        """Yield tokens, counted from `start`, the heads that have them, and the rows that do.

        A part that has no row any more is left out; tokens before `stop` are held.
        """
        heads, blocks = self._layout.heads, self._blocks
        if blocks is None:
            yield slice(0, stop - start), range(heads), [start]
            return
        last = (stop - 1) // BLOCK
        for block in range(start // BLOCK, last + 1):
            first, end = max(start, BLOCK * block), min(stop, BLOCK * (block + 1))
            for head in range(heads):
                held = self._held(head, block, last)
                rows = [BLOCK * place + first % BLOCK for place in held]
                if rows:
                    yield slice(first - start, end - start), range(head, head + 1), rows

    def _held(self, head: int, block: int, last: int) -> Iterator[int]:
        """Yield the places that have a block of a head, where `last` is the last one."""
        assert self._blocks is not None
        kept = self._blocks.kept_place(head, block)
        if kept is not None:
            yield self._layout.kept + kept
        ring = self._layout.ring
        if block >= self._blocks.window_start(last):
            yield block % ring
            yield block % ring + ring

    def _places(self, place: int, rows: int, heads: range) -> tuple[Places, Places]:
        """Return the bytes of keys and of values of rows, from a layer's first beat on."""
        layout = self._layout
        keys = kv_places(*self._widths, **layout.key_rows(place, rows, heads))
        return keys, kv_places(*self._widths, **layout.value_rows(place, rows, heads))

    def _place(self, layer: int) -> int:
        """Return the first beat of a layer's cache."""
        return self._base + layer * self._layout.layer_stride
