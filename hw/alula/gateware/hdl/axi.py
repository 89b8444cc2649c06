"""AXI4 and AXI4-Lite as signatures, seen from the master; members have the standard's names."""

from amaranth.lib import enum
from amaranth.lib.wiring import In, Member, Out, Signature

BOUNDARY = 4096
"""Bytes that no burst may cross a multiple of."""
MAX_BURST = 256
"""Beats of the longest burst."""
ID_BITS = 1


class Burst(enum.Enum, shape=2):
    """How addresses go on within a burst."""

    FIXED = 0
    INCR = 1
    WRAP = 2


def _address(prefix: str, address_bits: int) -> dict[str, Member]:
    return {
        f"{prefix}id": Out(ID_BITS),
        f"{prefix}addr": Out(address_bits),
        f"{prefix}len": Out(8),
        f"{prefix}size": Out(3),
        f"{prefix}burst": Out(2),
        f"{prefix}valid": Out(1),
        f"{prefix}ready": In(1),
    }


def reader(address_bits: int, beat_bytes: int) -> Signature:
    """The read channels of AXI4, for a port of `beat_bytes`."""
    return Signature(
        {
            **_address("ar", address_bits),
            "rid": In(ID_BITS),
            "rdata": In(8 * beat_bytes),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def writer(address_bits: int, beat_bytes: int) -> Signature:
    """The write channels of AXI4."""
    return Signature(
        {
            **_address("aw", address_bits),
            "wdata": Out(8 * beat_bytes),
            "wstrb": Out(beat_bytes),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(ID_BITS),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
        }
    )


def lite(address_bits: int) -> Signature:
    """AXI4-Lite with 32 bits of data."""
    return Signature(
        {
            "awaddr": Out(address_bits),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_bits),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )
