"""The matrix engine: MM and MV, which share it."""

from collections.abc import Callable

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from alula.design.engines import finish_width
from alula.gateware.accumulator import LATENCY as ACCUMULATOR_LATENCY
from alula.gateware.accumulator import Accumulator, AccumulatorControl
from alula.gateware.activation_buffer import read_layout, request_layout
from alula.gateware.chain import GROUPS, Chain, cuts_of
from alula.gateware.chain import LATENCY as CHAIN_LATENCY
from alula.gateware.chain import TOKENS as CHAIN_TOKENS
from alula.gateware.command import layout, opcode
from alula.gateware.dequantiser import LATENCY as DEQUANTISER_LATENCY
from alula.gateware.dequantiser import Dequantiser
from alula.gateware.finisher import (
    LANE_LATENCY,
    OUTPUT_BITS,
    POWER_BITS,
    Finisher,
    info_layout,
)
from alula.gateware.indexer import Indexer
from alula.gateware.multiplier import TARGETS, Target
from alula.gateware.repeat import placed
from alula.gateware.sparse_accumulator import LATENCY as SPARSE_LATENCY
from alula.gateware.sparse_accumulator import (
    SparseAccumulator,
    SparseAccumulatorControl,
    slot_scales,
    slots,
)
from alula.gateware.steps import Steps
from alula.gateware.vector_buffer import address_bits, write_layout
from alula.gateware.weight_format import by_format
from alula.gateware.weight_stream import MOST_PARTS, TAG, WALK, block_layout
from alula.isa.formats import WeightFormat
from alula.isa.instructions import Engine

__all__ = ["LATENCY", "Mpe", "Reason"]

LATENCY = DEQUANTISER_LATENCY + CHAIN_LATENCY + ACCUMULATOR_LATENCY + LANE_LATENCY + 1
"""Cycles from the last block of a row block to the first word of its results."""
ONE = 0x3F80
"""1.0 as bf16."""
GROUPS_UNDER_WAY = 16
COMMANDS_UNDER_WAY = 4


class Reason(enum.Enum, shape=3):
    """Why the engine stopped: undefined behaviour and reserved formats."""

    NONE = 0
    FORMAT = 1
    STREAM = 2
    ROWS = 3
    OUTPUTS = 4
    OVERFLOW = 5


class Mpe(Component):
    """Products of streamed weights and the activation buffer, to the bit as the contract says.

    The head of the weight stream decides which engine goes on. Products follow each other without
    a pause; a block is taken each cycle as long as weights and activations are there and row blocks
    have at least as many blocks as `Finisher` takes cycles.

    Parameters
    ----------
    rows : int
        Rows of a block in this core: chains.
    block_rows : int
        Rows of a block in all cores.
    tokens : int
        Activation rows of a pass, a power of two, at least 2.
    lanes : int
        Results of a vector buffer word.
    groups : int
        Groups of the activation buffer.
    words : int
        Words of the vector buffer.
    channels : int
        Memory channels of this core.
    accumulator_bits : int
        Width that accumulators must fit.
    target : str
        What multipliers are made of, as of `PackedMultiplier`.
    sparse : bool
        Weights may have a pattern. A group of 2:16 then takes four cycles, the others two.

    Members
    -------
    mm_command, mv_command : In stream of ``layout(engine)``
        Taken when the stream's head is for that engine; SYNC when nothing of it is under way.
    mm_done, mv_done : Out(1)
        One cycle for each instruction, in order; all its writes have been taken.
    mm_busy, mv_busy : Out(1)
        Instructions are under way.
    head, walk, block
        The read side of `WeightStream`.
    request : Out stream of ``request_layout``, activations : In stream of ``read_layout``
        The read port of the activation buffer, answered in order.
    write : Out stream of `write_layout`
        Results.
    first : In(16)
        This core's first row within a row block; constant.
    mm_starved, mv_starved, mm_blocked, mv_blocked : Out(1)
        As of `Use`, for an engine that holds instructions.
    error : Out(`Reason`)
        Stays until reset; the engine takes no more commands.
    error_mm : Out(1)
        It is of MM's instruction.
    error_next : Out(1)
        It is of the instruction that was offered, which has not been taken; otherwise of one that
        is under way.
    """

    def __init__(
        self,
        *,
        rows: int,
        block_rows: int | None = None,
        tokens: int,
        lanes: int,
        groups: int,
        words: int,
        channels: int = 1,
        accumulator_bits: int = 48,
        target: Target = "portable",
        sparse: bool = False,
    ) -> None:
        if tokens < CHAIN_TOKENS or tokens & tokens - 1:
            raise ValueError(f"tokens must be a power of two and at least 2, not {tokens}")
        if channels < 1:
            raise ValueError(f"channels must be at least 1, not {channels}")
        if rows < 1 or rows % channels:
            raise ValueError(f"rows must be a multiple of channels ({channels}), not {rows}")
        if block_rows is not None and (block_rows < rows or block_rows % rows):
            raise ValueError(f"block_rows must be a multiple of rows ({rows}), not {block_rows}")
        if lanes < 1 or lanes & lanes - 1:
            raise ValueError(f"lanes must be a power of two, not {lanes}")
        for name, value in (("groups", groups), ("words", words)):
            if value < 2:
                raise ValueError(f"{name} must be at least 2, not {value}")
        if not 32 <= accumulator_bits <= 64:
            raise ValueError(f"accumulator_bits must be 32 to 64, not {accumulator_bits}")
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
        self.rows = rows
        self.block_rows = rows if block_rows is None else block_rows
        self.tokens = tokens
        self.lanes = lanes
        self.groups = groups
        self.words = words
        self.channels = channels
        self.accumulator_bits = accumulator_bits
        self.target: Target = target
        self.sparse = bool(sparse)
        self._parts = MOST_PARTS if self.sparse else 1
        super().__init__(
            {
                "mm_command": In(stream.Signature(layout(Engine.MM))),
                "mv_command": In(stream.Signature(layout(Engine.MV))),
                "mm_done": Out(1),
                "mv_done": Out(1),
                "mm_busy": Out(1),
                "mv_busy": Out(1),
                "head": In(stream.Signature(TAG)),
                "walk": Out(stream.Signature(WALK)),
                "block": In(stream.Signature(block_layout(rows, sparse=self.sparse))),
                "request": Out(stream.Signature(request_layout(groups))),
                "activations": In(stream.Signature(read_layout(tokens))),
                "write": Out(stream.Signature(write_layout(words, lanes))),
                "first": In(16),
                "mm_starved": Out(1),
                "mv_starved": Out(1),
                "mm_blocked": Out(1),
                "mv_blocked": Out(1),
                "error": Out(Reason),
                "error_mm": Out(1),
                "error_next": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        shape = {
            "rows": self.rows,
            "block_rows": self.block_rows,
            "tokens": self.tokens,
            "lanes": self.lanes,
        }
        self._cycles = self.rows * self.tokens // finish_width(**shape)
        latency = LATENCY + self.sparse * (SPARSE_LATENCY - ACCUMULATOR_LATENCY)
        sets = -(-(latency + 4) // self._cycles) + 1 + self._parts
        m.submodules.finisher = self._finisher = Finisher(
            **shape, words=self.words, sets=sets, parts=self._parts
        )
        self._dequantiser = Dequantiser(rows=self.rows, channels=self.channels, sparse=self.sparse)
        m.submodules.dequantiser = self._dequantiser
        product = data.StructLayout(
            {"mm": 1, "outputs": OUTPUT_BITS, "last_token": range(self.tokens)}
            | dict.fromkeys(("dst", "stride"), address_bits(self.words))
        )
        m.submodules.products = products = SyncFIFO(width=product.size, depth=COMMANDS_UNDER_WAY)
        self._begin(m, products, product)
        now = Signal(product)
        m.d.comb += now.eq(products.r_data)
        info = self._fire(m, now, products)
        self._multiply(m, info)
        return m

    def _begin(self, m: Module, products: SyncFIFO, product: data.StructLayout) -> None:
        """Take the next command: both walks begin, and what the results need is kept."""
        token_bits = self.tokens.bit_length() - 1
        m.submodules.steps = steps = Steps(tag=request_layout(self.groups).members["group"])
        head = self.head.payload
        command = Signal(layout(Engine.MM))
        offered, begins = Signal(), Signal()
        m.d.comb += [
            command.eq(Mux(head.mm, self.mm_command.payload, self.mv_command.payload)),
        ]
        codes = {True: opcode("MM"), False: opcode("MV")}
        m.d.comb += offered.eq(
            self.head.valid
            & Mux(
                head.mm,
                self.mm_command.valid & (self.mm_command.payload.opcode == codes[True]),
                self.mv_command.valid & (self.mv_command.payload.opcode == codes[False]),
            )
        )
        reason = Signal(Reason)
        format_code = Cat(command.fmt, command.nm)
        known = self._of_format(m, format_code, lambda _: 1, "known")
        with m.If(~known):
            m.d.comb += reason.eq(Reason.FORMAT)
        with m.Elif((format_code != head.format) | (command.groups != head.groups)):
            m.d.comb += reason.eq(Reason.STREAM)
        with m.Elif(~command.rows.any() | (~head.mm & (command.rows > self.tokens))):
            m.d.comb += reason.eq(Reason.ROWS)
        stopped = self.error != Reason.NONE
        with m.If(offered & ~stopped):
            m.d.sync += [
                self.error.eq(reason),
                self.error_mm.eq(head.mm),
                self.error_next.eq(reason != Reason.NONE),
            ]

        last_row = Signal(32)
        kept = Signal(product)
        m.d.comb += [
            last_row.eq(command.rows - 1),
            begins.eq(
                offered
                & ~stopped
                & (reason == Reason.NONE)
                & self.walk.ready
                & steps.command.ready
                & products.w_rdy
            ),
            self.head.ready.eq(begins),
            self.walk.valid.eq(begins),
            steps.command.valid.eq(begins),
            products.w_en.eq(begins),
            self.walk.payload.tag.eq(head.format),
            steps.command.payload.tag.eq(command.src),
            kept.mm.eq(head.mm),
            kept.dst.eq(command.dst),
            kept.stride.eq(command.stride),
            kept.outputs.eq(command.outputs),
            kept.last_token.eq(last_row[:token_bits]),
            products.w_data.eq(kept),
        ]
        for walk in (self.walk.payload, steps.command.payload):
            m.d.comb += [
                walk.blocks.eq(head.blocks),
                walk.groups.eq(head.groups),
                walk.passes.eq((last_row >> token_bits) + 1),
            ]

        for engine, port, done, busy, finished in (
            (Engine.MM, self.mm_command, self.mm_done, self.mm_busy, self._finisher.mm_done),
            (Engine.MV, self.mv_command, self.mv_done, self.mv_busy, self._finisher.mv_done),
        ):
            name = engine.name.lower()
            count = Signal(range(2 * COMMANDS_UNDER_WAY + 64), name=f"{name}_under_way")
            synced = Signal(name=f"{name}_synced")
            mine = begins & (head.mm == int(engine is Engine.MM))
            sync = (
                port.valid
                & (port.payload.opcode == opcode(f"{engine.name}.SYNC"))
                & ~count.any()
                & ~synced
            )
            m.d.comb += [
                port.ready.eq(mine | sync),
                done.eq(finished | synced),
                busy.eq(count.any() | synced),
            ]
            m.d.sync += [count.eq(count + mine - finished), synced.eq(sync)]

        step = steps.step.payload
        following, address = (Signal.like(step.tag, name=n) for n in ("following", "address"))
        m.d.comb += [
            address.eq(Mux(step.first & step.first_pass, step.tag, following)),
            self.request.valid.eq(steps.step.valid),
            self.request.payload.group.eq(address),
            self.request.payload.half.eq(step.half),
            steps.step.ready.eq(self.request.ready),
        ]
        with m.If(steps.step.valid & self.request.ready & step.half):
            m.d.sync += following.eq(address + 1)

    def _of_format(
        self, m: Module, code: Value, choose: Callable[[WeightFormat], int], name: str
    ) -> Signal:
        return by_format(m, code, choose, name=name, sparse=self.sparse)

    def _fire(self, m: Module, now: data.View, products: SyncFIFO) -> SyncFIFO:
        """Let a block and its activations into the pipeline, which never waits."""
        finisher, block = self._finisher, self.block.payload
        step = block.step
        power = self._of_format(m, step.tag, _power, "power")
        gap = Signal(range(max(2, self._cycles * self._parts)))
        under_way = Signal(range(finisher.sets + 1))
        fires = Signal()
        room = (gap == 0) & (under_way + (1 << power) <= finisher.sets)
        weighs: Value = Const(0)
        if self.sparse:
            weighs = self._weighs(m, fires & step.half, step.tag)
        m.d.comb += [
            fires.eq(
                self.block.valid
                & self.activations.valid
                & (~step.last | room)
                & ~(step.half & weighs)
            ),
            self.block.ready.eq(fires),
            self.activations.ready.eq(fires),
        ]
        ends = fires & step.last
        with m.If(ends):
            m.d.sync += gap.eq((self._cycles << power) - 1)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        m.d.sync += under_way.eq(under_way + Mux(ends, 1 << power, 0) - finisher.finished)
        self._use(m, now, products, ends & step.last_pass & step.last_block)

        known = Signal(self.activations.payload.side.shape())
        powers = Signal(data.ArrayLayout(signed(POWER_BITS), self.tokens))
        with m.If(fires & ~step.half):
            m.d.sync += known.eq(self.activations.payload.side)
            with m.If(step.first):
                m.d.sync += [
                    powers[token].eq(self.activations.payload.side[token].exponent)
                    for token in range(self.tokens)
                ]

        metas = self._of_format(m, step.tag, lambda item: item.metas, "metas")
        scales = self._of_format(m, step.tag, lambda item: item.scales, "scales")
        group = self._group_layout()
        m.submodules.groups = groups = SyncFIFO(width=group.size, depth=GROUPS_UNDER_WAY)
        given = Signal(group)
        m.d.comb += [groups.w_en.eq(fires & step.half), groups.w_data.eq(given)]
        m.d.comb += [given.first.eq(step.first), given.last.eq(step.last)]
        for token in range(self.tokens):
            m.d.comb += [
                given.sum[token].eq(known[token].sum),
                given.factor[token].eq(known[token].scale),
            ]
        for number, parts in enumerate(given.metas):
            # A scale of 1, and no min.
            missing = 1 if number != 1 else power != 0
            for row in range(self.rows):
                m.d.comb += parts[row].eq(Mux(metas, block.metas[number][row], missing))

        shape = self._info_layout()
        m.submodules.infos = infos = SyncFIFO(width=shape.size, depth=finisher.sets)
        given_info = Signal(shape)
        info = given_info.info
        last = step.last_pass & step.last_block
        m.d.comb += [
            info.power.eq(powers),
            info.last_token.eq(Mux(step.last_pass, now.last_token, self.tokens - 1)),
            info.first_pass.eq(step.first_pass),
            info.first_block.eq(step.first_block),
            info.last_block.eq(step.last_block),
            info.ends.eq(last),
            info.mm.eq(now.mm),
            info.dst.eq(now.dst),
            info.stride.eq(now.stride),
            info.outputs.eq(now.outputs),
            infos.w_data.eq(given_info),
            infos.w_en.eq(ends),
            products.r_en.eq(ends & last),
        ]
        if self.sparse:
            m.d.comb += info.parts.eq(power)
        for part, factors in enumerate(given_info.factors):
            for row in range(self.rows):
                m.d.comb += factors[row].eq(Mux(scales, block.factors[part][row], ONE))
        return infos

    def _use(self, m: Module, now: data.View, products: SyncFIFO, over: Value) -> None:
        """Say what each engine waits for; `over`: the product at work fires its last block."""
        there = self.block.valid & self.activations.valid
        for mm, starved, blocked in (
            (1, self.mm_starved, self.mm_blocked),
            (0, self.mv_starved, self.mv_blocked),
        ):
            left = Signal(range(COMMANDS_UNDER_WAY + 1), name=f"left_{'mm' if mm else 'mv'}")
            works = products.r_rdy & (now.mm == mm)
            m.d.sync += left.eq(
                left + (products.w_en & (self.head.payload.mm == mm)) - (over & works)
            )
            m.d.comb += [
                starved.eq(Mux(works, ~there, left != 0)),
                blocked.eq(
                    Mux(works, there & ~self.block.ready, self.write.valid & ~self.write.ready)
                    & ~starved
                ),
            ]

    def _weighs(self, m: Module, second: Value, tag: Value) -> Value:
        """Whether the multipliers behind the chains are not done with the group before."""
        extra = self._of_format(m, tag, lambda item: slots(item.pattern.parts) - 1, "extra")
        left = Signal(extra.shape(), name="weighs_left")
        with m.If(second):
            m.d.sync += left.eq(extra)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return left.any()

    def _group_layout(self) -> data.StructLayout:
        metas = MOST_PARTS if self.sparse else 2
        return data.StructLayout(
            {
                "first": 1,
                "last": 1,
                "metas": data.ArrayLayout(data.ArrayLayout(8, self.rows), metas),
                "sum": data.ArrayLayout(signed(14), self.tokens),
                "factor": data.ArrayLayout(8, self.tokens),
            }
        )

    def _info_layout(self) -> data.StructLayout:
        """What the finisher must know, but for what changes from part to part."""
        info = info_layout(rows=self.rows, tokens=self.tokens, words=self.words, parts=self._parts)
        factors = data.ArrayLayout(data.ArrayLayout(16, self.rows), self._parts)
        return data.StructLayout({"info": info, "factors": factors})

    def _multiply(self, m: Module, infos: SyncFIFO) -> None:
        """Dequantise, multiply, accumulate, finish: what has fired goes through."""
        block, fires = self.block.payload, self.block.ready
        groups = m.submodules.groups
        dequantiser, finisher = self._dequantiser, self._finisher
        values = Signal(self.activations.payload.data.shape(), reset_less=True)
        with m.If(fires):
            m.d.sync += values.eq(self.activations.payload.data)
        m.d.comb += [
            dequantiser.enable.eq(fires),
            dequantiser.format.eq(block.step.tag),
            dequantiser.beats.eq(block.beats),
            dequantiser.phase.eq(block.phase),
        ]
        power = self._of_format(m, block.step.tag, _power, "fired_power")
        entering: Value = Cat(fires, block.step.half, power)
        for number in range(DEQUANTISER_LATENCY + CHAIN_LATENCY):
            later = Signal(len(entering), name=f"entered_{number + 1}")
            m.d.sync += later.eq(entering)
            entering = later
        valid, half, power = entering[0], entering[1], entering[2:]

        group, now = (Signal(self._group_layout(), name=n) for n in ("group", "group_now"))
        control = SparseAccumulatorControl() if self.sparse else AccumulatorControl()
        m.submodules.control = control
        m.d.comb += [
            group.eq(groups.r_data),
            groups.r_en.eq(valid & half),
            control.valid.eq(valid),
            control.half.eq(half),
            control.first.eq(group.first),
            control.last.eq(group.last),
        ]
        with m.If(valid & half):
            m.d.sync += now.eq(group)
        factors = [now.factor]
        for number in range(2):
            later = Signal(now.factor.shape(), name=f"factor_{number + 1}")
            m.d.sync += later.eq(factors[-1])
            factors.append(later)

        chains = self._chains(m, dequantiser, values)
        overflows = []
        for row in range(self.rows):
            metas = [plane[row] for plane in now.metas]
            weigh = slot_scales(m, control, metas) if self.sparse else None
            for token in range(self.tokens):
                chain = chains[row][token // CHAIN_TOKENS]
                lane = token % CHAIN_TOKENS
                kind = SparseAccumulator if self.sparse else Accumulator
                accumulator = kind(bits=self.accumulator_bits)
                m.submodules[f"accumulator_{row}_{token}"] = placed(accumulator)
                m.d.comb += [
                    accumulator.control.eq(control.control),
                    accumulator.total.eq(chain.total[lane]),
                    accumulator.sum.eq(now.sum[token]),
                    accumulator.factor.eq(factors[-1][token]),
                    finisher.accumulators[row][token].eq(accumulator.captured),
                ]
                if isinstance(accumulator, SparseAccumulator):
                    m.d.comb += accumulator.scale.eq(weigh)
                    m.d.comb += [
                        target.eq(sums[lane])
                        for target, sums in zip(accumulator.sums, chain.sums, strict=True)
                    ]
                else:
                    m.d.comb += [
                        accumulator.scale.eq(metas[0]),
                        accumulator.minimum.eq(metas[1]),
                    ]
                counts: Value = token <= finisher.info.last_token
                overflows.append(accumulator.overflow & counts)
        if isinstance(control, SparseAccumulatorControl):
            m.d.comb += control.parts.eq(power)
            self._finish_parts(m, infos, control)
        else:
            given = Signal(self._info_layout())
            m.d.comb += [
                given.eq(infos.r_data),
                finisher.start.eq(control.captured),
                finisher.info.eq(given.info),
                finisher.info.factor.eq(given.factors[0]),
                infos.r_en.eq(finisher.taken),
            ]
        write = finisher.write
        m.d.comb += [
            finisher.first.eq(self.first),
            self.write.payload.eq(write.payload),
            self.write.valid.eq(write.valid),
            write.ready.eq(self.write.ready),
        ]
        with m.If(self.error == Reason.NONE):
            blamed = [self.error_mm.eq(finisher.info.mm), self.error_next.eq(0)]
            with m.If(finisher.start & Cat(overflows).any()):
                m.d.sync += [self.error.eq(Reason.OVERFLOW), *blamed]
            with m.If(finisher.misfit):
                m.d.sync += [self.error.eq(Reason.OUTPUTS), *blamed]

    def _chains(self, m: Module, dequantiser: Dequantiser, values: Signal) -> list[list[Chain]]:
        """The chains of each row, one for every two tokens, with their operands."""
        sparse = self._sparse_operands(m) if self.sparse else None
        chains = []
        for row in range(self.rows):
            chains.append([])
            for first in range(0, self.tokens, CHAIN_TOKENS):
                chain = Chain(target=self.target, sparse=self.sparse)
                m.submodules[f"chain_{row}_{first}"] = placed(chain)
                m.d.comb += [
                    chain.weights.eq(dequantiser.weights[row]),
                    chain.activations.eq(Cat(values[first + t] for t in range(CHAIN_TOKENS))),
                ]
                if sparse is not None:
                    index, cuts = sparse
                    m.d.comb += [
                        chain.index.eq(index[row]),
                        chain.pruned.eq(cuts.any()),
                        chain.cuts.eq(cuts),
                    ]
                chains[-1].append(chain)
        return chains

    def _sparse_operands(self, m: Module) -> tuple[data.View, Signal]:
        """Each row's indices, and the cuts of all chains, 0 without a pattern."""
        block, fires = self.block.payload, self.block.ready
        m.submodules.indexer = indexer = Indexer(rows=self.rows, channels=self.channels)
        cuts = Signal(GROUPS)
        next_cuts = self._of_format(
            m, block.step.tag, lambda item: cuts_of(item.pattern.parts), "next_cuts"
        )
        m.d.comb += [
            indexer.format.eq(block.step.tag),
            indexer.beat.eq(block.index),
            indexer.phase.eq(block.index_phase),
            indexer.enable.eq(fires & next_cuts.any()),
        ]
        with m.If(fires):
            m.d.sync += cuts.eq(next_cuts)
        return indexer.index, cuts

    def _finish_parts(self, m: Module, infos: SyncFIFO, control: SparseAccumulatorControl) -> None:
        """Hand the parts of a row block to the finisher, one after the other."""
        finisher = self._finisher
        given = Signal(self._info_layout())
        part, follows, last = Signal(range(MOST_PARTS)), Signal(), Signal()
        info = finisher.info
        m.d.comb += [
            given.eq(infos.r_data),
            last.eq(part == (1 << given.info.parts) - 1),
            finisher.start.eq(control.captured | follows),
            info.eq(given.info),
            info.factor.eq(Array(given.factors[p] for p in range(MOST_PARTS))[part]),
            info.first_part.eq(part == 0),
            info.last_part.eq(last),
            infos.r_en.eq(finisher.taken & last),
            control.part.eq(part),
            control.read_parts.eq(given.info.parts),
        ]
        m.d.sync += follows.eq(finisher.taken & ~last)
        with m.If(finisher.taken):
            m.d.sync += part.eq(Mux(last, 0, part + 1))


def _power(item: WeightFormat) -> int:
    """log2 of the rows of a chain."""
    return item.pattern.parts.bit_length() - 1
