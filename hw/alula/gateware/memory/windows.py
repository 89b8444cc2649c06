"""Where a channel's memory lies among the chip's addresses."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value

from alula.design.memory import MIB


def chip_address(
    m: Module, address: Value, windows: Sequence[tuple[int, int]], *, bits: int
) -> Value:
    """Return the chip's address, of so many bits, of a byte of the memory.

    Args:
        m: Where it is found, without a register.
        address: The byte, counted from the memory's first.
        windows: (first address, bytes) of each, multiples of 1 MiB, in the memory's order; without
            any the memory begins at address 0.
        bits: Of the chip's addresses.
    """
    grain = MIB.bit_length() - 1
    if not windows or bits <= grain:
        return address[:bits]
    page = address[grain:]
    placed = Signal(bits - grain, name="placed")
    m.d.comb += placed.eq(page)
    begins = 0
    for first, size in windows:
        shift = (first - begins) // MIB % (1 << len(placed))
        if begins:
            with m.If(page >= begins // MIB):
                m.d.comb += placed.eq(page + shift)
        else:
            m.d.comb += placed.eq(page + shift)
        begins += size
    return Cat(address[:grain], placed)
