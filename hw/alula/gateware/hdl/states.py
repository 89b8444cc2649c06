"""States of a machine that only pass the time."""

from collections.abc import Iterable
from itertools import pairwise

from amaranth.hdl import Module


def following(m: Module, states: Iterable[str]) -> None:
    """Add states to an `m.FSM` that lead from each to the next, a cycle each.

    The last one is not added: it is a state of its own.
    """
    for state, after in pairwise(states):
        with m.State(state):
            m.next = after
