"""Clock domains whose reset is a register of their own."""

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal, Signal


def later_reset(m: Module, domain: str, *, name: str = "reset") -> None:
    """Make a domain of a module's own clock. Its reset begins and ends a cycle later.

    So the wires of the reset reach no further than the domain.

    Args:
        m: the module.
        domain: the domain's name.
        name: the register's name.
    """
    reset = Signal(init=1, reset_less=True, name=name)
    m.domains += ClockDomain(domain, local=True)
    m.d.sync += reset.eq(ResetSignal())
    m.d.comb += [ClockSignal(domain).eq(ClockSignal()), ResetSignal(domain).eq(reset)]
