"""Sequencer, tokens and queues: all that decides what an engine does next."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import enum, stream
from amaranth.lib.wiring import Component, In, Member, Out, connect, flipped

from alula.gateware.control.activity import Activity
from alula.gateware.control.command import ENGINES, layout
from alula.gateware.control.queue import ADDRESS_BITS, Queue
from alula.gateware.control.sequencer import Sequencer
from alula.gateware.control.tokens import COUNT, Tokens
from alula.isa.instructions import Engine

_CONTROL = ("program", "setting", "length", "start", "halt")
_STATE = ("running", "ended", "reason", "waiting", "address")
_FROM_ENGINES = ("argmax", "stream_empty")


class Blame(enum.Enum, shape=2):
    """Which of its instructions an engine means by its fault."""

    OLDEST = 0  # the first that is not done
    NEWEST = 1  # the one that it took last
    NEXT = 2  # the one that it is offered


class Dispatch(Component):
    """The machine without its engines.

    Args:
        program_words: Instructions that the program memory holds.

    Members:
        program, setting, length, start, halt, running, ended, reason, waiting, argmax,
        stream_empty: Those of `Sequencer`. `start` empties the token counters.
        address: Of the sequencer's instruction.
        overflow, giver, taker: A token counter was full; of which pair. overfilled: Address of the
            instruction that gave the token.
        command_ld, done_ld, ...: To each engine, as docs/explanation/gateware.md says.
        starved, blocked: Of each engine, while it holds instructions; see `Activity`.
        use: What each engine did a cycle ago.
        busy: For each engine (SYS the sequencer), an instruction waits or is in flight.
        flying: For each engine, its oldest instruction is in flight.
        missing: For each engine, the tokens that its next instruction waits for.
        oldest: Address of each engine's oldest instruction.
        blame, blamed: Address of the one of its instructions that an engine blames, from the cycle
            after `halt` on.
    """

    def __init__(self, *, program_words: int) -> None:
        self._sequencer = Sequencer(program_words=program_words)
        self.program_words = program_words
        shape = self._sequencer.signature.members
        members: dict[str, Member] = {
            name: shape[name] for name in (*_CONTROL, *_STATE, *_FROM_ENGINES)
        }
        members |= {
            "overflow": Out(1),
            "giver": Out(range(COUNT)),
            "taker": Out(range(COUNT)),
            "overfilled": Out(ADDRESS_BITS),
            "starved": In(1).array(len(ENGINES)),
            "blocked": In(1).array(len(ENGINES)),
            "blame": In(Blame).array(len(ENGINES)),
            "use": Out(Activity).array(COUNT),
            "busy": Out(COUNT),
            "flying": Out(COUNT),
            "missing": Out(COUNT).array(COUNT),
            "oldest": Out(ADDRESS_BITS).array(COUNT),
            "blamed": Out(ADDRESS_BITS).array(len(ENGINES)),
        }
        for engine in ENGINES:
            name = engine.name.lower()
            members[f"command_{name}"] = Out(stream.Signature(layout(engine)))
            members[f"done_{name}"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        m.submodules.sequencer = sequencer = self._sequencer
        m.submodules.tokens = tokens = Tokens()
        for name in (*_CONTROL, *_FROM_ENGINES):
            m.d.comb += getattr(sequencer, name).eq(getattr(self, name))
        for name in _STATE:
            m.d.comb += getattr(self, name).eq(getattr(sequencer, name))
        m.d.comb += [
            tokens.clear.eq(self.start),
            self.overflow.eq(tokens.fault),
            self.giver.eq(tokens.giver),
            self.taker.eq(tokens.taker),
            sequencer.engines_busy.eq(self.busy[: len(ENGINES)].any()),
            self.busy[Engine.SYS].eq(sequencer.running),
            self.oldest[Engine.SYS].eq(sequencer.address),
        ]
        running, waiting, blocked = Signal(), Signal(), Signal()
        m.d.sync += [
            running.eq(sequencer.running),
            waiting.eq(sequencer.waiting),
            blocked.eq(sequencer.blocked),
        ]
        self._use(m, Engine.SYS, running, waiting, blocked)
        for engine in Engine:
            if engine is Engine.SYS:
                source, address = sequencer, sequencer.given
            else:
                source = self._queue(m, engine)
                address = source.oldest
            m.d.comb += [
                tokens.wait[engine].eq(source.wait),
                source.available.eq(tokens.available[engine]),
                tokens.take[engine].eq(source.take),
                tokens.signal[engine].eq(source.signal),
                tokens.give[engine].eq(source.give),
                self.missing[engine].eq(Mux(source.waits, tokens.missing[engine], 0)),
            ]
            # A counter overflows a cycle after a token was given; it is reported a cycle later.
            name = engine.name.lower()
            gives, giving = (
                Signal(name=f"gives_{name}"),
                Signal(ADDRESS_BITS, name=f"giving_{name}", reset_less=True),
            )
            gave = Signal(ADDRESS_BITS, name=f"gave_{name}", reset_less=True)
            m.d.sync += gives.eq(source.give)
            with m.If(source.give):
                m.d.sync += giving.eq(address)
            with m.If(gives & ~tokens.fault):
                m.d.sync += gave.eq(giving)
            with m.If(tokens.giver == engine):
                m.d.comb += self.overfilled.eq(gave)
        return m

    def _queue(self, m: Module, engine: Engine) -> Queue:
        """Make an engine's queue."""
        name = engine.name.lower()
        queue = Queue(shape=layout(engine))
        m.submodules[f"queue_{name}"] = queue
        connect(m, getattr(self._sequencer, f"push_{name}"), queue.push)
        connect(m, queue.command, flipped(getattr(self, f"command_{name}")))
        m.d.comb += [
            queue.done.eq(getattr(self, f"done_{name}")),
            self.busy[engine].eq(queue.busy),
            self.flying[engine].eq(queue.flying),
            self.oldest[engine].eq(queue.oldest),
        ]
        with m.If(self.halt), m.Switch(self.blame[engine]):
            for blame, address in (
                (Blame.OLDEST, queue.oldest),
                (Blame.NEWEST, queue.newest),
                (Blame.NEXT, queue.next),
            ):
                with m.Case(blame):
                    m.d.sync += self.blamed[engine].eq(address)
        starved, blocked = Signal(name=f"starved_{name}"), Signal(name=f"blocked_{name}")
        m.d.sync += [starved.eq(self.starved[engine]), blocked.eq(self.blocked[engine])]
        starves = Mux(queue.flying, starved, ~queue.took)
        self._use(m, engine, queue.held, starves, queue.flying & blocked)
        return queue

    def _use(self, m: Module, engine: Engine, held: Value, starved: Value, blocked: Value) -> None:
        """Say what an engine did a cycle ago."""
        use = self.use[engine]
        with m.If(~held):
            m.d.comb += use.eq(Activity.IDLE)
        with m.Elif(blocked):
            m.d.comb += use.eq(Activity.BLOCKED)
        with m.Elif(starved):
            m.d.comb += use.eq(Activity.STARVED)
        with m.Else():
            m.d.comb += use.eq(Activity.BUSY)
