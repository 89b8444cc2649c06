"""The KV cache in a device's memory, read and written by rows of tokens."""

import numpy as np
from numpy.typing import NDArray

from alula.design import Design
from alula.isa.formats import FORMATS, GROUP, SCALES_PER_BEAT
from alula.mapper import KvLayout
from alula.quant.floats import bf16_bits, from_bf16_bits
from alula.quant.matrix import QuantizedMatrix
from alula.quant.packing import pack, unpack
from alula.runtime.device import Bytes, Device
from alula.runtime.worker import Floats, KvRows

Numbers = NDArray[np.int8]


class KvMemory:
    """Moves keys and values between rows of tokens and the beats that hold them.

    Only the beats around the rows are moved: whole scale beats of K, whole groups of V.

    Args:
        layout: where the cache of each layer and head lies.
        design: the accelerator.
        device: whose memory it is.
        base: first beat of the cache.
    """

    def __init__(self, layout: KvLayout, design: Design, device: Device, base: int) -> None:
        self._layout = layout
        self._design = design
        self._device = device
        self._base = base

    def read(self, layer: int, start: int, stop: int) -> KvRows:
        """Return the tokens from `start` up to `stop` of a layer."""
        heads = range(self._layout.heads)
        k, k_scale = zip(*(self._read_k(layer, head, start, stop) for head in heads), strict=True)
        v = [self._read_v(layer, head, start, stop) for head in heads]
        v_scale = [self._read_scales(layer, head, start, stop) for head in heads]
        return KvRows(*(np.stack(parts, axis=1) for parts in (k, k_scale, v, v_scale)))

    def write(self, layer: int, start: int, rows: KvRows) -> None:
        """Write the tokens of a layer from `start` on; all others stay as they are."""
        for head in range(self._layout.heads):
            self._write_k(layer, head, start, rows.k[:, head], rows.k_scale[:, head])
            self._write_v(layer, head, start, rows.v[:, head])
            self._write_scales(layer, head, start, rows.v_scale[:, head])

    # K: a W8 matrix [context, head_dim], in pieces of as many row blocks as share a scale beat

    def _k_piece(self, layer: int, head: int, start: int, stop: int) -> tuple[int, int, int, int]:
        """Return first row and rows of the piece around some rows, its first beat and its beats."""
        step, groups = SCALES_PER_BEAT * self._design.rows, self._layout.head_dim // GROUP
        first = start // step * step
        blocks = -(
            -(min(-(-stop // step) * step, self._layout.context) - first) // self._design.rows
        )
        place = self._base + self._layout.k(layer, head)
        place += FORMATS["W8"].beats(first // self._design.rows, groups)
        return first, blocks * self._design.rows, place, FORMATS["W8"].beats(blocks, groups)

    def _k_matrix(self, beats: Bytes, count: int) -> QuantizedMatrix:
        shape = (count, self._layout.head_dim)
        return unpack(beats, "W8", shape, self._design.channels, self._design.rows)

    def _read_k(self, layer: int, head: int, start: int, stop: int) -> tuple[Numbers, Floats]:
        first, count, place, beats = self._k_piece(layer, head, start, stop)
        matrix = self._k_matrix(self._device.read(place, beats), count)
        part = slice(start - first, stop - first)
        return matrix.q[part].view(np.int8), matrix.c[part]

    def _write_k(self, layer: int, head: int, start: int, k: Numbers, scale: Floats) -> None:
        first, count, place, beats = self._k_piece(layer, head, start, start + len(k))
        matrix = self._k_matrix(self._device.read(place, beats), count)
        q, c = matrix.q.copy(), matrix.c.copy()
        part = slice(start - first, start - first + len(k))
        q[part], c[part] = k, scale
        changed = QuantizedMatrix("W8", matrix.shape, q, c)
        self._device.write(place, pack(changed, self._design.channels, self._design.rows))

    # V: a V8 matrix [head_dim, context] whose row blocks lie a fixed pitch apart

    def _v_places(self, layer: int, head: int, start: int, stop: int) -> tuple[int, list[int], int]:
        """Return the first group around some columns, each row block's first beat and its beats."""
        first, last = start // GROUP, -(-stop // GROUP)
        each = FORMATS["V8"].beats_per_group
        place = self._base + self._layout.v(layer, head) + first * each
        places = [place + block * self._layout.v_pitch for block in range(self._layout.v_blocks)]
        return first, places, (last - first) * each

    def _v_columns(self, places: list[int], beats: int) -> Numbers:
        data = np.concatenate([self._device.read(place, beats) for place in places])
        groups = beats // FORMATS["V8"].beats_per_group
        shape = (self._layout.head_dim, groups * GROUP)
        return unpack(data, "V8", shape, self._design.channels, self._design.rows).q.view(np.int8)

    def _read_v(self, layer: int, head: int, start: int, stop: int) -> Numbers:
        first, places, beats = self._v_places(layer, head, start, stop)
        return self._v_columns(places, beats)[:, start - first * GROUP : stop - first * GROUP].T

    def _write_v(self, layer: int, head: int, start: int, v: Numbers) -> None:
        first, places, beats = self._v_places(layer, head, start, start + len(v))
        columns = self._v_columns(places, beats).copy()
        offset = start - first * GROUP
        columns[:, offset : offset + len(v)] = v.T
        ones = np.ones(len(columns), np.float32)
        matrix = QuantizedMatrix("V8", columns.shape, columns, ones)
        packed = pack(matrix, self._design.channels, self._design.rows)
        for index, place in enumerate(places):
            self._device.write(place, packed[index * beats : (index + 1) * beats])

    # V's scales: a bf16 vector [context]

    def _scale_place(self, layer: int, head: int, start: int, stop: int) -> tuple[int, int, int]:
        """Return the first position around some, the first beat and the beats."""
        each = self._design.bytes_per_cycle // 2
        first, last = start // each, -(-stop // each)
        place = self._base + self._layout.v(layer, head) + self._layout.v_scales
        return first * each, place + first, last - first

    def _scales(self, place: int, beats: int) -> NDArray[np.uint16]:
        return np.ascontiguousarray(self._device.read(place, beats)).view("<u2").reshape(-1)

    def _read_scales(self, layer: int, head: int, start: int, stop: int) -> Floats:
        first, place, beats = self._scale_place(layer, head, start, stop)
        return from_bf16_bits(self._scales(place, beats)[start - first : stop - first])

    def _write_scales(self, layer: int, head: int, start: int, scale: Floats) -> None:
        first, place, beats = self._scale_place(layer, head, start, start + len(scale))
        bits = self._scales(place, beats).copy()
        bits[start - first : start - first + len(scale)] = bf16_bits(scale)
        self._device.write(place, bits.view(np.uint8).reshape(beats, -1))
