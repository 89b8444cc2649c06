"""Words into the lanes and past them, as many as have a place behind."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.gateware.buffers.ports import vector_read, word
from alula.gateware.control.fault import Code, Fault
from alula.gateware.hdl.level import level
from alula.gateware.sfu.plan import plan
from alula.gateware.sfu.reader import SfuReader
from alula.gateware.sfu.rotate import SfuRotate
from alula.gateware.sfu.sequencer import ways
from alula.gateware.sfu.writer import DEPTH


class SfuFeed(wiring.Component):
    """Reads the words of a pass and issues operations, or has the words scanned as they are read.

    Args:
        lanes: fp32 values of a word.
        words: of the vector buffer.

    Members:
        start (In): a pass starts.
        start_b (In): the same of a pass with a second operand.
        now (In): the pass that runs, from `start` on.
        go (In): words may go, and where.
        late (In): the lanes use their second factor in this cycle.
        left (In): an operation's result has left the SFU.
        port_a, port_b (Out): read ports of the vector buffer.
        issue (Out): an operation with the words `a` to `d` begins.
        scan (Out): `read` is only looked at.
        read (Out): the word of the first operand as it is read.
        a, b, c, d (Out): operands of the lanes.
        idle (Out): nothing of the pass is under way.
        fault (Out, 2): a word that is to be read does not exist.
    """

    def __init__(self, *, lanes: int, words: int) -> None:
        self.lanes = lanes
        self.words = words
        super().__init__(
            {
                "start": In(1),
                "start_b": In(1),
                "now": In(plan),
                "go": In(ways),
                "late": In(1),
                "left": In(1),
                "port_a": Out(vector_read(lanes)),
                "port_b": Out(vector_read(lanes)),
                "issue": Out(1),
                "scan": Out(1),
                "read": Out(word(lanes)),
                **{name: Out(word(lanes)) for name in "abcd"},
                "idle": Out(1),
                "fault": Out(Fault).array(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Two readers, and the pairs of ROPE."""
        m = Module()
        now, go = self.now, self.go
        m.submodules.reader_a = a = SfuReader(lanes=self.lanes, words=self.words)
        m.submodules.reader_b = b = SfuReader(lanes=self.lanes, words=self.words)
        m.submodules.rotate = rotate = SfuRotate(lanes=self.lanes)
        connect(m, a.port, flipped(self.port_a))
        connect(m, b.port, flipped(self.port_b))
        for reader, name, fault in ((a, "a", self.fault[0]), (b, "b", self.fault[1])):
            m.d.comb += [
                reader.path.eq(now[name]),
                reader.counted.eq(now[f"{name}_counted"]),
                fault.code.eq(Mux(reader.beyond, Code.OUT_OF_RANGE, Code.NONE)),
                fault.detail.eq(reader.address),
            ]
        in_flight = level(m, enters=self.issue, leaves=self.left, most=DEPTH, name="in_flight")
        rotates, issues = now.route.rotate, Signal()
        room = in_flight.room
        m.d.comb += [
            a.start.eq(self.start),
            b.start.eq(self.start_b),
            rotate.go.eq(go.rotate),
            rotate.room.eq(room),
            rotate.words_valid.eq(a.valid & b.valid),
            rotate.a.eq(a.word),
            rotate.b.eq(b.word),
            self.scan.eq(go.scan & a.valid),
            issues.eq(room & a.valid & (go.alone | (go.joint & b.valid))),
            self.issue.eq(issues | rotate.issue),
            b.reserve.eq(room & a.valid & b.valid & go.pairs),
            a.reserve.eq(a.valid & (room | go.scan) & (go.single | (b.valid & go.pairs))),
            a.take.eq(a.reserve),
            b.take.eq(self.late | (room & a.valid & b.valid & go.at_once)),
            self.read.eq(a.word),
            self.a.eq(Mux(rotates, rotate.p.as_value(), a.word.as_value())),
            self.b.eq(Mux(rotates, rotate.cosine.as_value(), b.word.as_value())),
            self.c.eq(Mux(rotates, rotate.sine.as_value(), b.word.as_value())),
            self.d.eq(rotate.q),
            self.idle.eq(a.idle & b.idle & rotate.idle & ~in_flight.some),
        ]
        return m
