"""The KV cache in a device's memory, read and written by rows of tokens."""

from alula.design import Design
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
    """

    def __init__(self, layout: KvLayout, design: Design, device: Device, base: int) -> None:
        self._layout = layout
        self._device = device
        self._base = base
        self._widths = design.bytes_per_cycle, design.memory.beat_bytes

    def read(self, layer: int, start: int, stop: int) -> KvRows:
        """Return the tokens from `start` up to `stop` of a layer."""
        region = self._device.read(self._place(layer), self._layout.layer_stride)
        heads = self._layout.heads
        k, v = (get_rows(region, places, heads) for places in self._places(start, stop - start))
        return KvRows(*k, *v)

    def write(self, layer: int, start: int, rows: KvRows) -> None:
        """Write the tokens of a layer from `start` on; all others stay as they are."""
        region = self._device.read(self._place(layer), self._layout.layer_stride)
        keys, values = self._places(start, len(rows))
        put_rows(region, keys, rows.k, rows.k_scale)
        put_rows(region, values, rows.v, rows.v_scale)
        self._device.write(self._place(layer), region)

    def _places(self, position: int, rows: int) -> tuple[Places, Places]:
        """Return the bytes of keys and of values of tokens, from a layer's first beat on."""
        layout = self._layout
        keys = kv_places(*self._widths, **layout.key_rows(position, rows))
        return keys, kv_places(*self._widths, **layout.value_rows(position, rows))

    def _place(self, layer: int) -> int:
        """Return the first beat of a layer's cache."""
        return self._base + layer * self._layout.layer_stride
