"""Sequencer, tokens and queues: all that decides what an engine does next."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.command import ENGINES, layout
from alula.gateware.queue import ADDRESS_BITS, Queue
from alula.gateware.sequencer import Sequencer
from alula.gateware.tokens import COUNT, Tokens
from alula.isa.instructions import Engine

__all__ = ["Dispatch"]


class Dispatch(Component):
    """The machine without its engines.

    Parameters:
        program_words: Instructions that the program memory holds.

    Members:
        program, register, length, start, clear, halt, running, ended, reason, waiting, argmax,
        stream_empty: Those of `Sequencer`. `start` empties the token counters, `clear` the
            queues as well: no engine may hold an instruction then.
        address: Of the sequencer's instruction.
        overflow, giver, taker: A token counter was full; of which pair.
        command_ld, done_ld, ...: To each engine, as docs/gateware.md says.
        busy: For each engine (SYS the sequencer), an instruction waits or is in flight.
        starved: For each engine, its next instruction waits for a token.
        oldest_ld, ...: Address of each engine's oldest instruction.
    """

    def __init__(self, *, program_words: int) -> None:
        self._sequencer = Sequencer(program_words=program_words)
        self.program_words = program_words
        shape = self._sequencer.signature.members
        members: dict[str, In | Out] = {
            name: shape[name]
            for name in (
                *("program", "register", "length", "start", "clear", "halt", "running", "ended"),
                *("reason", "waiting", "argmax", "stream_empty", "address"),
            )
        }
        members |= {
            "overflow": Out(1),
            "giver": Out(range(COUNT)),
            "taker": Out(range(COUNT)),
            "busy": Out(COUNT),
            "starved": Out(COUNT),
        }
        for engine in ENGINES:
            name = engine.name.lower()
            members[f"command_{name}"] = Out(stream.Signature(layout(engine)))
            members[f"done_{name}"] = In(1)
            members[f"oldest_{name}"] = Out(ADDRESS_BITS)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.sequencer = sequencer = self._sequencer
        m.submodules.tokens = tokens = Tokens()
        for name in ("program", "register", "length", "start", "clear", "halt"):
            m.d.comb += getattr(sequencer, name).eq(getattr(self, name))
        for name in ("argmax", "stream_empty"):
            m.d.comb += getattr(sequencer, name).eq(getattr(self, name))
        for name in ("running", "ended", "reason", "waiting", "address"):
            m.d.comb += getattr(self, name).eq(getattr(sequencer, name))
        m.d.comb += [
            tokens.clear.eq(self.start | self.clear),
            self.overflow.eq(tokens.fault),
            self.giver.eq(tokens.giver),
            self.taker.eq(tokens.taker),
            sequencer.engines_busy.eq(self.busy[: len(ENGINES)].any()),
            self.busy[Engine.SYS].eq(sequencer.running),
        ]
        for engine in Engine:
            if engine is Engine.SYS:
                source = sequencer
            else:
                name = engine.name.lower()
                source = Queue(shape=layout(engine))
                m.submodules[f"queue_{name}"] = ResetInserter(self.clear)(source)
                connect(m, getattr(sequencer, f"push_{name}"), source.push)
                connect(m, source.command, flipped(getattr(self, f"command_{name}")))
                m.d.comb += [
                    source.done.eq(getattr(self, f"done_{name}")),
                    getattr(self, f"oldest_{name}").eq(source.oldest),
                    self.busy[engine].eq(source.busy),
                    self.starved[engine].eq(source.starved),
                ]
            m.d.comb += [
                tokens.wait[engine].eq(source.wait),
                source.available.eq(tokens.available[engine]),
                tokens.take[engine].eq(source.take),
                tokens.signal[engine].eq(source.signal),
                tokens.give[engine].eq(source.give),
            ]
        return m
