"""A unit's ports as the simulator shows them, with Python values for their payloads."""

from random import Random
from typing import Any

from alula.bench.payload import pack, unpack
from alula.bench.ports import Port


class Wire:
    """One port, and the simulator's handle of it. A port without bits has none."""

    def __init__(self, port: Port, handle: Any) -> None:
        self.name = port.name
        self.shape = port.shape
        self.width = port.width
        self.inward = port.inward
        self.handle = handle

    def get(self) -> Any:
        """Return the value that the last edge saw."""
        return unpack(self.shape, self.bits())

    def bits(self) -> int:
        """Return the same as an unsigned number."""
        return int(self.handle.value) if self.width else 0

    def set(self, value: Any) -> None:
        """Set the value for the next edge."""
        self.set_bits(pack(self.shape, value))

    def set_bits(self, bits: int) -> None:
        """Set the same from an unsigned number."""
        if self.width:
            self.handle.value = bits


class StreamWires:
    """The three ports of a stream. A part that the stream does not have counts as always high."""

    def __init__(self, name: str, payload: Wire, valid: Wire | None, ready: Wire | None) -> None:
        self.name = name
        self._payload = payload
        self._valid = valid
        self._ready = ready

    def valid_now(self) -> bool:
        """Whether the last edge saw an offer."""
        return self._valid is None or bool(self._valid.bits())

    def ready_now(self) -> bool:
        """Whether the last edge saw an acceptance."""
        return self._ready is None or bool(self._ready.bits())

    def bits_now(self) -> int:
        """Return the payload that the last edge saw."""
        return self._payload.bits()

    def value(self, bits: int) -> Any:
        """Return a payload's value."""
        return unpack(self._payload.shape, bits)

    def offer(self, item: Any) -> None:
        """Offer an item to the next edge."""
        self._payload.set(item)
        if self._valid is not None:
            self._valid.set_bits(1)

    def withdraw(self, random: Random) -> None:
        """Offer nothing to the next edge, and a random payload."""
        self._payload.set_bits(random.getrandbits(self._payload.width or 1))
        if self._valid is not None:
            self._valid.set_bits(0)

    def accept(self, ready: bool) -> None:
        """Accept at the next edge, or do not."""
        if self._ready is not None:
            self._ready.set_bits(int(ready))
