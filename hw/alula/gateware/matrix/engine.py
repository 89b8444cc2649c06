"""The matrix processing engine (MPE): MM and MV, which share it."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.buffers.activation_buffer import read_layout, request_layout
from alula.gateware.buffers.vector_buffer import write_layout
from alula.gateware.control.command import layout
from alula.gateware.control.fault import Fault
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.target import Target
from alula.gateware.matrix.accumulator import LATENCY as ACCUMULATOR_LATENCY
from alula.gateware.matrix.bounds import Bounds
from alula.gateware.matrix.chain import LATENCY as CHAIN_LATENCY
from alula.gateware.matrix.chains import Chains
from alula.gateware.matrix.commands import Commands
from alula.gateware.matrix.dequantiser import LATENCY as DEQUANTISER_LATENCY
from alula.gateware.matrix.dequantiser import Dequantiser
from alula.gateware.matrix.operands import Operands
from alula.gateware.matrix.output_stage import LATENCY as OUTPUT_LATENCY
from alula.gateware.matrix.output_stage import OutputStage
from alula.gateware.matrix.reason import CODES, DETAIL, NUMBER_BITS, ProductReason
from alula.gateware.matrix.sizes import MatrixSizes
from alula.gateware.matrix.sparse.accumulator import LATENCY as SPARSE_LATENCY
from alula.gateware.matrix.sparse.sums import SparseOperands, SparseSums
from alula.gateware.matrix.sums import Sums
from alula.gateware.matrix.use import ProductUse
from alula.gateware.stream.weight_format import by_format, segments_power
from alula.gateware.stream.weight_stream import REPLAY, TAG, block_layout
from alula.isa.instructions import Engine

IDLE = 5
"""Cycles of a SYNC."""
INSTRUCTION = IDLE + 2
"""Cycles that a product takes beside its blocks, `latency` and the last results."""


def latency(*, sparse: bool) -> int:
    """Cycles from the last block of a row block to the first word of its results."""
    accumulator = SPARSE_LATENCY if sparse else ACCUMULATOR_LATENCY
    return DEQUANTISER_LATENCY + CHAIN_LATENCY + accumulator + OUTPUT_LATENCY


class Mpe(Component):
    """Products of streamed weights and the activation buffer, to the bit as the contract says.

    The head of the weight stream decides which engine goes on. Products follow each other without
    a pause; a block is taken each cycle as long as weights and activations are there and row blocks
    have at least as many blocks as `OutputStage` takes cycles.

    Args:
        sizes (MatrixSizes): With patterns, a group of 2:16 takes four cycles, the others two.
        target (str): What multipliers are made of; see `PackedMultiplier`.

    Members:
        mm_command, mv_command (In stream of ``layout(engine)``): Taken when the stream's head is
            for that engine; SYNC when nothing of it is under way.
        mm_done, mv_done (Out(1)): One cycle for each instruction, in order; all its writes have
            been taken.
        mm_busy, mv_busy (Out(1)): Instructions are under way.
        head, replay, block, held, may_end, may_weigh: The read side of `WeightStream`.
        request (Out stream of ``request_layout``, activations : In stream of ``read_layout``): The
            read port of the activation buffer, answered in order.
        write (Out stream of `write_layout`): Results.
        first (In(16)): This core's first row within a row block; constant.
        mm_starved, mv_starved, mm_blocked, mv_blocked (Out(1)): See `Activity`, a cycle late; for
            an engine that holds instructions.
        fault (Out(`Fault`)): Stays until reset; the engine takes no more commands. Its detail is
            `DETAIL`.
        fault_mm (Out(1)): It is of MM's instruction.
        fault_next (Out(1)): It is of the instruction that was offered, which has not been taken and
            writes nothing; otherwise of its oldest, which is never done.
    """

    def __init__(self, sizes: MatrixSizes, *, target: Target = "portable") -> None:
        self.sizes = sizes
        self.target: Target = target
        super().__init__(
            {
                "mm_command": In(stream.Signature(layout(Engine.MM))),
                "mv_command": In(stream.Signature(layout(Engine.MV))),
                "mm_done": Out(1),
                "mv_done": Out(1),
                "mm_busy": Out(1),
                "mv_busy": Out(1),
                "head": In(stream.Signature(TAG)),
                "replay": Out(stream.Signature(REPLAY)),
                "block": In(stream.Signature(block_layout(sizes.rows, sparse=sizes.sparse))),
                "held": In(1),
                "may_end": Out(1),
                "request": Out(stream.Signature(request_layout(sizes.groups))),
                "activations": In(stream.Signature(read_layout(sizes.tokens))),
                "write": Out(stream.Signature(write_layout(sizes.words, sizes.lanes))),
                "first": In(16),
                "mm_starved": Out(1),
                "mv_starved": Out(1),
                "mm_blocked": Out(1),
                "mv_blocked": Out(1),
                "fault": Out(Fault),
                "fault_mm": Out(1),
                "fault_next": Out(1),
            }
            | ({"may_weigh": Out(1)} if sizes.sparse else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        sizes = self.sizes
        sets = -(-(latency(sparse=sizes.sparse) + 4) // sizes.cycles) + 1 + sizes.segments
        commands = Commands(Bounds(sizes))
        operands = Operands(sizes, sets=sets)
        sums = (SparseSums if sizes.sparse else Sums)(sizes)
        output = OutputStage(sizes, sets=sets)
        m.submodules.commands = commands
        m.submodules.operands = operands
        m.submodules.sums = sums
        m.submodules.output = output

        for name in ("mm_command", "mv_command", "head"):
            connect(m, flipped(getattr(self, name)), getattr(commands, name))
        for name in ("replay", "request"):
            connect(m, getattr(commands, name), flipped(getattr(self, name)))
        for name in ("block", "activations"):
            connect(m, flipped(getattr(self, name)), getattr(operands, name))
        connect(m, commands.product, operands.product)
        connect(m, operands.group, sums.group)
        connect(m, operands.row_block, sums.row_block)
        connect(m, output.write, flipped(self.write))
        for name in ("mm_done", "mv_done", "mm_busy", "mv_busy"):
            m.d.comb += getattr(self, name).eq(getattr(commands, name))
        m.d.comb += [
            commands.mm_finished.eq(output.mm_done),
            commands.mv_finished.eq(output.mv_done),
            operands.held.eq(self.held),
            operands.finished.eq(output.finished),
            self.may_end.eq(operands.may_end),
            output.start.eq(sums.start),
            output.info.eq(sums.info),
            output.accumulators.eq(sums.accumulators),
            output.overflow.eq(sums.overflow),
            output.first.eq(self.first),
            sums.taken.eq(output.taken),
        ]
        if sizes.sparse:
            m.d.comb += self.may_weigh.eq(operands.may_weigh)
        self._multiply(m, operands, sums)
        self._use(m, commands, operands)
        self._stop(m, commands, output)
        return m

    def _multiply(self, m: Module, operands: Operands, sums: Sums) -> None:
        """Dequantise and multiply each block that passes."""
        sizes = self.sizes
        block, fires = self.block.payload, operands.fires
        values = self.activations.payload.data
        passes = delayed(m, fires, DEQUANTISER_LATENCY - 1, name="passes")
        for stage, passed in enumerate(passes):
            before, values = values, Signal.like(values, name=f"values_{stage}", reset_less=True)
            with m.If(passed):
                m.d.sync += values.eq(before)
        m.submodules.dequantiser = dequantiser = Dequantiser(
            rows=sizes.rows, channels=sizes.channels, sparse=sizes.sparse
        )
        m.d.comb += [
            dequantiser.enable.eq(fires),
            dequantiser.format.eq(block.step.tag),
            dequantiser.beats.eq(block.beats),
            dequantiser.phase.eq(block.phase),
        ]
        sparse = None
        if sizes.sparse:
            sparse = SparseOperands(rows=sizes.rows, channels=sizes.channels)
            m.submodules.sparse = sparse
            m.d.comb += [
                sparse.format.eq(block.step.tag),
                sparse.fires.eq(fires),
                sparse.beat.eq(block.index),
                sparse.phase.eq(block.index_phase),
            ]
        m.submodules.chains = chains = Chains(
            rows=sizes.rows,
            tokens=sizes.tokens,
            target=self.target,
            sparse=sizes.sparse,
        )
        m.d.comb += [
            chains.activations.eq(values),
            chains.weights.eq(dequantiser.weights),
            sums.totals.eq(chains.total),
        ]
        if sparse:
            m.d.comb += [
                chains.index.eq(sparse.index),
                chains.pruned.eq(sparse.cuts.any()),
                chains.cuts.eq(sparse.cuts),
                sums.sums.eq(chains.sums),
            ]

        power = by_format(m, block.step.tag, segments_power, name="power", sparse=sizes.sparse)
        entering = Cat(fires, block.step.half, power)
        entering = delayed(m, entering, DEQUANTISER_LATENCY + CHAIN_LATENCY, name="entered")[-1]
        m.d.comb += [sums.valid.eq(entering[0]), sums.half.eq(entering[1])]
        if sizes.sparse:
            m.d.comb += sums.power.eq(entering[2:])

    def _use(self, m: Module, commands: Commands, operands: Operands) -> None:
        """Say what each engine waits for."""
        product = operands.product
        for name, mine, taken in (
            ("mm", product.payload.mm, commands.mm_taken),
            ("mv", ~product.payload.mm, commands.mv_taken),
        ):
            m.submodules[f"{name}_use"] = use = ProductUse()
            m.d.comb += [
                use.taken.eq(taken),
                use.works.eq(product.valid & mine),
                use.ends.eq(product.ready),
                use.there.eq(self.held & self.activations.valid),
                use.passes.eq(operands.fires),
                use.waits.eq(self.write.valid & ~self.write.ready),
                getattr(self, f"{name}_starved").eq(use.starved),
                getattr(self, f"{name}_blocked").eq(use.blocked),
            ]

    def _stop(self, m: Module, commands: Commands, output: OutputStage) -> None:
        """Keep the first fault."""
        reason, number, detail = Signal(ProductReason), Signal(NUMBER_BITS), Signal(DETAIL)
        m.d.comb += [
            commands.halt.eq(reason != ProductReason.NONE),
            detail.reason.eq(reason),
            detail.number.eq(number),
            self.fault.detail.eq(detail),
        ]
        with m.If(reason == ProductReason.NONE):
            with m.If(output.mm_lost | output.mv_lost):
                m.d.sync += [
                    reason.eq(ProductReason.OVERFLOW),
                    self.fault_mm.eq(output.mm_lost),
                    self.fault_next.eq(0),
                ]
            with m.Elif(commands.refusal != ProductReason.NONE):
                m.d.sync += [
                    reason.eq(commands.refusal),
                    number.eq(commands.number),
                    self.fault_mm.eq(self.head.payload.mm),
                    self.fault_next.eq(1),
                ]
        with m.Switch(reason):
            for key, code in CODES.items():
                with m.Case(key):
                    m.d.sync += self.fault.code.eq(code)
