"""Who gets a bank in a cycle."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Signal, Value
from amaranth.lib.wiring import Component, In, Out

__all__ = ["Arbiter"]


class Arbiter(Component):
    """Shares banks among clients; combinational but for who lost.

    In each bank the client that has lost for the most cycles goes first, then the one of the lowest
    number. So nobody waits for more than `clients - 1` cycles, and streams that walk the banks in
    the same direction settle one behind the other and meet no more.

    Args:
        clients: How many there are.
        banks: A power of two.

    Members:
        want: Each client wants its bank.
        bank: Which one, of each client.
        granted: Each client gets it.
        client: For each bank, who got it.
        taken: For each bank, somebody got it.
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
                "granted": Out(clients),
                "client": Out(range(clients)).array(banks),
                "taken": Out(banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        ages = [Signal(range(self.clients), name=f"age_{client}") for client in range(self.clients)]
        order = [
            (client, age) for age in reversed(range(self.clients)) for client in range(self.clients)
        ]
        for bank in range(self.banks):
            free: Value = Const(1, 1)
            for client, age in order:
                wants = self.want[client] & (self.bank[client] == bank) & (ages[client] == age)
                with m.If(wants & free):
                    m.d.comb += [
                        self.granted[client].eq(1),
                        self.client[bank].eq(client),
                        self.taken[bank].eq(1),
                    ]
                free = free & ~wants
        for client, age in enumerate(ages):
            with m.If(~self.want[client] | self.granted[client]):
                m.d.sync += age.eq(0)
            with m.Elif(age != self.clients - 1):
                m.d.sync += age.eq(age + 1)
        return m
