"""Who gets a bank in a cycle."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib.wiring import Component, In, Out


class Arbiter(Component):
    """Shares banks among clients: who gets one now, and for whom it works in the next cycle.

    In each bank the client that has lost most often goes first, then the one of the lowest number.
    So nobody loses an open bank more than `clients - 1` times, and streams that walk the banks in
    the same direction settle one behind the other and meet no more.

    Args:
        clients: How many there are.
        banks: A power of two.

    Members:
        want: Each client wants its bank.
        bank: Which one, of each client.
        closed: For each bank, nobody gets it, and nobody loses it to another.
        granted: Each client gets it, in the same cycle.
        taken: For each bank, somebody got it a cycle before.
        client: For each bank, who got it a cycle before, if somebody did.
    """

    def __init__(self, *, clients: int, banks: int) -> None:
        if clients < 1:
            raise ValueError(f"clients must be at least 1, not {clients}")
        if banks < 2 or banks & banks - 1:
            raise ValueError(f"banks must be a power of two, at least 2, not {banks}")
        self.clients, self.banks = clients, banks
        super().__init__(
            {
                "want": In(clients),
                "bank": In(range(banks)).array(clients),
                "closed": In(banks),
                "granted": Out(clients),
                "taken": Out(banks),
                "client": Out(range(clients)).array(banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Each client beside each other one, so that no chain runs through all of them."""
        m = Module()
        ages = [Signal(range(self.clients), name=f"age_{client}") for client in range(self.clients)]
        for client, age in enumerate(ages):
            closed = self.closed.bit_select(self.bank[client], 1)
            loses: Value = closed
            for other, other_age in enumerate(ages):
                if other != client:
                    before = other_age >= age if other < client else other_age > age
                    loses |= self.want[other] & (self.bank[other] == self.bank[client]) & before
            m.d.comb += self.granted[client].eq(self.want[client] & ~loses)
            with m.If(~self.want[client] | self.granted[client]):
                m.d.sync += age.eq(0)
            with m.Elif((age != self.clients - 1) & ~closed):
                m.d.sync += age.eq(age + 1)
        for bank in range(self.banks):
            gets = [
                self.granted[client] & (self.bank[client] == bank) for client in range(self.clients)
            ]
            m.d.sync += self.taken[bank].eq(Cat(gets).any())
            for client, got in enumerate(gets):
                with m.If(got):
                    m.d.sync += self.client[bank].eq(client)
        return m
