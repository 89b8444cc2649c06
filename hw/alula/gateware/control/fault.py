"""What an engine says when it cannot go on, and the latch that keeps the first of it."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

LATENCY = 2
"""Cycles from a report to the latched fault: a register lies between what is far apart."""


class Code(enum.Enum, shape=4):
    """Why an engine stopped, sorted by whose turn it is to act, as the machine model's errors.

    The detail of MM's and MV's faults is `alula.gateware.matrix.reason.DETAIL`.
    """

    NONE = 0
    UNDEFINED = 1  # the contract gives it no meaning; detail: the value to blame
    UNSUPPORTED = 2  # the contract names and excludes it; detail: the value to blame
    UNIMPLEMENTED = 3  # the contract allows it, the design lacks it; detail: the value to blame
    OUT_OF_RANGE = 4  # beyond what the design has; detail: the address or size
    READ_SLVERR = 5  # memory refused a read; detail: the beat
    READ_DECERR = 6  # nothing answers there; detail: the beat
    WRITE_SLVERR = 7  # memory refused a write; detail: the first beat of the burst
    WRITE_DECERR = 8  # nothing answers there; detail: the first beat of the burst
    TOKENS = 9  # a counter was to hold more than 255; detail: who gave, and to whom, 3 bits each


class Fault(data.Struct):
    """A code and 32 bits that place it. NONE is no fault, whatever the detail is."""

    code: Code
    detail: 32


class FaultLatch(wiring.Component):
    """Keeps the first fault that is reported until it is cleared.

    Args:
        sources (int): How many parts of an engine report. The lowest wins in the same cycle.

    Members:
        report (In(Fault).array(sources)): A fault in each cycle whose code is not NONE.
        clear (In(1)): Forget; a report in the same cycle is forgotten too.
        fault (Out(Fault)): The first, from `LATENCY` cycles after its report on.
        source (Out(range(sources))): Who reported it.
    """

    def __init__(self, *, sources: int) -> None:
        if sources < 1:
            raise ValueError(f"sources must be at least 1, not {sources}")
        self.sources = sources
        super().__init__(
            {
                "report": In(Fault).array(sources),
                "clear": In(1),
                "fault": Out(Fault),
                "source": Out(range(sources)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        """Describe the latch."""
        m = Module()
        reports = [Signal(Fault, name=f"report_{number}") for number in range(self.sources)]
        for mine, report in zip(reports, self.report, strict=True):
            m.d.sync += mine.eq(report)
        # The last assignment wins, so the lowest source comes last.
        with m.If(self.fault.code == Code.NONE):
            for number, report in reversed(list(enumerate(reports))):
                with m.If(report.code != Code.NONE):
                    m.d.sync += [self.fault.eq(report), self.source.eq(number)]
        with m.If(self.clear):
            m.d.sync += [report.code.eq(Code.NONE) for report in (self.fault, *reports)]
        return m
