"""The KV cache in a device's memory, read and written by rows of tokens."""

from alula.design import Design
from alula.mapper import KvLayout
from alula.quant import kv_packing
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
        self._packing = layout.layer(design.channels)

    def read(self, layer: int, start: int, stop: int) -> KvRows:
        """Return the tokens from `start` up to `stop` of a layer."""
        region = self._device.read(self._place(layer), self._layout.layer_stride)
        k = kv_packing.unpack_k(region, self._packing, start, stop - start)
        v = kv_packing.unpack_v(region, self._packing, start, stop - start)
        return KvRows(*k, *v)

    def write(self, layer: int, start: int, rows: KvRows) -> None:
        """Write the tokens of a layer from `start` on; all others stay as they are."""
        region = self._device.read(self._place(layer), self._layout.layer_stride)
        kv_packing.pack_k(region, self._packing, start, rows.k, rows.k_scale)
        kv_packing.pack_v(region, self._packing, start, rows.v, rows.v_scale)
        self._device.write(self._place(layer), region)

    def _place(self, layer: int) -> int:
        """Return the first beat of a layer's cache."""
        return self._base + layer * self._layout.layer_stride
