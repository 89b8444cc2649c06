"""SUM: 64 partial sums, and the tree over them."""

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from alula.gateware.arithmetic import float_add
from alula.gateware.arithmetic.float_add import FloatAdd
from alula.gateware.buffers.ports import word
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.repeat import placed
from alula.isa.formats import PARTIAL_SUMS

__all__ = ["SfuSum", "latency"]


def latency(lanes: int) -> int:
    """Cycles from the last word to the sum of all 64 partial sums.

    A level of the tree takes the adder's time and a cycle for each of its words but the first.
    """
    levels, lane_levels = ceil_log2(PARTIAL_SUMS), ceil_log2(lanes)
    words = PARTIAL_SUMS // lanes - 1 + lane_levels
    return levels * (float_add.LATENCY + 1) + words


class SfuSum(wiring.Component):
    """The sum of words that come at any pace, a word a cycle at most.

    The words of partial sums are `PARTIAL_SUMS / lanes`; the adder's latency is not more, so a sum
    is always there, or just leaving the adder, when its next term is added.

    Args:
        lanes: fp32 values of a word, 2, 4, 8 or 16.

    Members:
        valid (In): `word` is there.
        word (In): terms; those that do not count are zero.
        finish (In): all words have been given; high until `result_valid` and no longer.
        result_valid (Out): high for one cycle.
        result (Out): the sum, until the next one. The next word begins a new sum.
    """

    def __init__(self, *, lanes: int) -> None:
        if lanes not in (2, 4, 8, 16):
            raise ValueError(f"lanes must be 2, 4, 8 or 16, not {lanes!r}")
        self.lanes = lanes
        super().__init__(
            {
                "valid": In(1),
                "word": In(word(lanes)),
                "finish": In(1),
                "result_valid": Out(1),
                "result": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Adders, the memory of partial sums, and the steps of the tree."""
        m = Module()
        words, bits = PARTIAL_SUMS // self.lanes, self.lanes * 32
        valid, term, folds = Signal(), Signal(bits), Signal()
        m.d.sync += [valid.eq(self.valid), folds.eq(self.finish & ~self.result_valid)]
        with m.If(self.valid):
            m.d.sync += term.eq(self.word)
        m.submodules.partials = partials = Memory(shape=bits, depth=words, init=[])
        write = partials.write_port()
        left_port, right_port = (partials.read_port(domain="comb") for _ in range(2))

        # An operation's operands, a cycle before the adder has them.
        issue = Signal()
        place, left, right = Signal(range(words)), Signal(bits), Signal(bits)
        adds, left_now, right_now = Signal(), Signal(bits), Signal(bits)
        sums, came = Signal(bits), Signal()
        m.d.sync += adds.eq(issue)
        with m.If(issue):
            m.d.sync += [left_now.eq(left), right_now.eq(right)]
        places = delayed(m, place, 1 + float_add.LATENCY, name="place")
        # Where partial sums are as few as that, a sum arrives just as its next term is added.
        arrives = Signal()
        if words == float_add.LATENCY:
            flight = delayed(m, issue, float_add.LATENCY, name="flight")
            m.d.sync += arrives.eq(valid & flight[-1] & (places[-2] == place))
        for lane in range(self.lanes):
            adder = FloatAdd()
            m.submodules[f"add{lane}"] = placed(adder)
            operand = right_now.word_select(lane, 32)
            m.d.comb += [
                adder.valid.eq(adds),
                adder.a.eq(left_now.word_select(lane, 32)),
                adder.b.eq(Mux(arrives, adder.result, operand)),
                sums.word_select(lane, 32).eq(adder.result),
            ]
            if lane == 0:
                m.d.comb += came.eq(adder.result_valid)
        in_flight = Signal(range(float_add.LATENCY + 2))
        m.d.sync += in_flight.eq(in_flight + issue - came)
        m.d.comb += [write.en.eq(came), write.addr.eq(places[-1]), write.data.eq(sums)]

        # How many words of partial sums have been started.
        started, next_place = Signal(range(words + 1)), Signal(range(words))

        def partial(port) -> Mux:
            fresh = Mux(came & (places[-1] == port.addr), sums, port.data)
            return Mux(port.addr < started, fresh, 0)

        level = Signal(range(PARTIAL_SUMS), init=PARTIAL_SUMS // 2)
        step, folding = Signal(range(max(words, 2))), Signal()
        quiet = (in_flight == 0) | ((in_flight == 1) & came)
        last_word_step = Signal()
        half = level // self.lanes
        m.d.comb += last_word_step.eq(step + 1 >= half)
        m.d.comb += [left.eq(term), right.eq(partial(right_port)), place.eq(next_place)]
        m.d.comb += right_port.addr.eq(next_place)
        with m.If(self.result_valid):
            m.d.sync += [
                started.eq(0),
                next_place.eq(0),
                folding.eq(0),
                level.eq(PARTIAL_SUMS // 2),
                step.eq(0),
            ]
        with m.Elif(valid):
            m.d.comb += issue.eq(1)
            m.d.sync += next_place.eq(next_place + 1)
            with m.If(started != words):
                m.d.sync += started.eq(started + 1)
        with m.Elif(folds & (level != 0)):
            m.d.comb += [
                left.eq(partial(left_port)),
                left_port.addr.eq(step),
                place.eq(step),
            ]
            with m.If(half != 0):
                m.d.comb += right_port.addr.eq(step + half)
                with m.If(quiet | folding):
                    m.d.comb += issue.eq(1)
                    with m.If(last_word_step):
                        m.d.sync += [
                            step.eq(0),
                            folding.eq(0),
                            level.eq(level >> 1),
                            started.eq(half),
                        ]
                    with m.Else():
                        m.d.sync += [step.eq(step + 1), folding.eq(1)]
            with m.Else():
                m.d.comb += right_port.addr.eq(0)
                m.d.comb += right.eq(self._turned(left, level))
                with m.If(quiet):
                    m.d.comb += issue.eq(1)
                    m.d.sync += level.eq(level >> 1)
        with m.If(self.result_valid):
            m.d.sync += self.result_valid.eq(0)
        with m.Elif(self.finish & (level == 0) & came & (in_flight == 1)):
            m.d.sync += [self.result_valid.eq(1), self.result.eq(sums[:32])]
        return m

    def _turned(self, word: Value, level: Value) -> Value:
        """A word whose upper half, of `2 * level` lanes, has become its lower one."""
        turned: Value = Const(0, len(word))
        for power in reversed(range((self.lanes // 2).bit_length())):
            turned = Mux(level == 1 << power, word >> (32 << power), turned)
        return turned
