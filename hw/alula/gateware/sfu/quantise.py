"""int8 blocks to the activation buffer and to staging."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from alula.design import GROUP
from alula.design.engines import MOST_ROW_GROUPS
from alula.gateware.arithmetic.compare import reaches
from alula.gateware.buffers.ports import activation_write, staging_write, word
from alula.gateware.control.fault import Code, Fault
from alula.gateware.hdl.delay import delayed
from alula.gateware.sfu import units
from alula.gateware.sfu.pack import SfuPack
from alula.gateware.sfu.plan import plan
from alula.gateware.sfu.sequencer import place
from alula.gateware.sfu.steps import LATENCY, SfuSteps
from alula.gateware.sfu.writer import DEPTH
from alula.isa.kv import KV_GROUPS, row_bytes


class SfuQuantise(wiring.Component):
    """Takes the results of QUANT and QUANTKV, and gives QUANT's lanes their factor.

    Args:
        lanes: fp32 values of a word.
        tokens: rows that share an activation group, a power of two.
        groups: of the activation buffer.
        staging_bytes: of the staging buffer.

    Members:
        start (In): the pass `now` starts.
        now (In): the pass that runs, from `start` on.
        place (In): where the row goes.
        step_valid, step (In): the step of QUANT's next group.
        scale (In): bf16, of QUANTKV's row.
        issue (In): an operation of the pass begins in the lanes.
        inverse (Out): the factor of that operation, when it is used.
        valid (In): `word` is a result of the pass.
        word (In): fp32 values.
        taken (Out): a word has left.
        idle (Out): every block has left.
        activation, staging (Out): write ports.
        fault (Out): a block's place does not exist; it stays here.
    """

    def __init__(self, *, lanes: int, tokens: int, groups: int, staging_bytes: int) -> None:
        self.lanes = lanes
        self.tokens = tokens
        self.groups = groups
        self.staging_bytes = staging_bytes
        super().__init__(
            {
                "start": In(1),
                "now": In(plan),
                "place": In(place),
                "step_valid": In(1),
                "step": In(32),
                "scale": In(16),
                "issue": In(1),
                "inverse": Out(32),
                "valid": In(1),
                "word": In(word(lanes)),
                "taken": Out(1),
                "idle": Out(1),
                "activation": Out(activation_write()),
                "staging": Out(staging_write()),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Steps before the lanes, blocks behind them."""
        m = Module()
        m.submodules.steps = steps = SfuSteps(groups=MOST_ROW_GROUPS)
        m.submodules.pack = pack = SfuPack(lanes=self.lanes)
        inverse = delayed(m, steps.inverse, units.ADD - LATENCY, name="inverse")
        m.d.sync += pack.exponent.eq(Mux(self.now.activates, steps.exponent, 0))
        m.d.comb += [
            pack.valid.eq(self.valid),
            pack.word.eq(self.word),
            pack.offset.eq(self.now.offset),
            pack.clear.eq(self.start),
            self.inverse.eq(inverse[-1]),
            self.taken.eq(pack.taken),
            self.idle.eq(pack.idle),
        ]
        self._look(m, steps)
        self._send(m, steps, pack)
        return m

    def _look(self, m: Module, steps: SfuSteps) -> None:
        """The step of the group whose word enters the lanes."""
        words = GROUP // self.lanes
        of_group, group = Signal(range(words)), Signal(range(MOST_ROW_GROUPS))
        m.d.comb += [
            steps.clear.eq(self.start & self.now.steps),
            steps.valid.eq(self.step_valid),
            steps.step.eq(self.step),
            steps.look.eq(self.issue & self.now.activates),
            steps.group.eq(group),
        ]
        with m.If(self.start):
            m.d.sync += [of_group.eq(0), group.eq(0)]
        with m.Elif(steps.look):
            m.d.sync += of_group.eq(of_group + 1)
            with m.If(of_group == words - 1):
                m.d.sync += group.eq(group + 1)
        m.submodules.scales = scales = Memory(shape=8, depth=DEPTH, init=[])
        write, self._scale = scales.write_port(), scales.read_port(domain="comb")
        looked = delayed(m, steps.look & (of_group == 0), LATENCY, name="looked")
        m.d.comb += [write.en.eq(looked[-1]), write.data.eq(steps.scale)]
        with m.If(write.en):
            m.d.sync += write.addr.eq(write.addr + 1)

    def _send(self, m: Module, steps: SfuSteps, pack: SfuPack) -> None:
        """Blocks to where they belong."""
        place, activates = self.place, self.now.activates
        block, group, lost, sent = Signal(6), Signal(19), Signal(), Signal()
        group_lost = Signal()  # the group does not exist
        rows_of = Array(
            self.staging_bytes // row_bytes(groups) if 0 < groups <= KV_GROUPS else 0
            for groups in range(1 << 6)
        )
        rows, row_lost = Signal(range(self.staging_bytes + 1)), Signal()
        m.d.sync += [rows.eq(rows_of[place.groups[:6]]), row_lost.eq(place.dst >= rows)]
        quantised, staged = self.activation.payload, self.staging.payload
        m.d.comb += [
            lost.eq(pack.block_valid & Mux(activates, group_lost, row_lost)),
            self.fault.code.eq(Mux(lost, Code.OUT_OF_RANGE, Code.NONE)),
            self.fault.detail.eq(Mux(activates, group, place.dst)),
            self.activation.valid.eq(pack.block_valid & activates & ~lost),
            self.staging.valid.eq(pack.block_valid & ~activates & ~lost),
            pack.block_ready.eq(Mux(activates, self.activation.ready, self.staging.ready) & ~lost),
            sent.eq(pack.block_valid & pack.block_ready),
            quantised.group.eq(group),
            quantised.slot.eq(place.slot),
            quantised.half.eq(pack.half),
            quantised.data.eq(pack.block),
            quantised.side.scale.eq(self._scale.data),
            quantised.side.sum.eq(pack.sum),
            quantised.side.exponent.eq(steps.exponent),
            staged.row.eq(place.dst),
            staged.half.eq(block),
            staged.groups.eq(place.groups),
            staged.data.eq(pack.block),
            staged.scale.eq(self.scale),
        ]
        with m.If(self.start):
            m.d.sync += [
                block.eq(0),
                group.eq(place.group),
                group_lost.eq(reaches(place.group, self.groups)),
            ]
        with m.Elif(sent):
            m.d.sync += block.eq(block + 1)
            with m.If(pack.half & activates):
                m.d.sync += [
                    group.eq(group + 1),
                    group_lost.eq(group_lost | (group == self.groups - 1)),
                    self._scale.addr.eq(self._scale.addr + 1),
                ]
