"""The matrix engine: MM and MV, which share it."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from alula.design.engines import finish_width
from alula.gateware.accumulator import LATENCY as ACCUMULATOR_LATENCY
from alula.gateware.accumulator import Accumulator, AccumulatorControl
from alula.gateware.activation_buffer import read_layout, request_layout
from alula.gateware.chain import LATENCY as CHAIN_LATENCY
from alula.gateware.chain import TOKENS as CHAIN_TOKENS
from alula.gateware.chain import Chain
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
from alula.gateware.multiplier import TARGETS, Target
from alula.gateware.repeat import placed
from alula.gateware.steps import Steps
from alula.gateware.vector_buffer import address_bits, write_layout
from alula.gateware.weight_format import by_format
from alula.gateware.weight_stream import TAG, WALK, block_layout
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
                "block": In(stream.Signature(block_layout(rows))),
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
        sets = -(-(LATENCY + 4) // self._cycles) + 2
        m.submodules.finisher = self._finisher = Finisher(**shape, words=self.words, sets=sets)
        self._dequantiser = Dequantiser(rows=self.rows, channels=self.channels)
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
        formats = by_format(m, command.fmt, lambda item: item.bits, name="format_bits")
        with m.If(~formats.any() | command.nm.any()):
            m.d.comb += reason.eq(Reason.FORMAT)
        with m.Elif((command.fmt != head.format) | (command.groups != head.groups)):
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

    def _fire(self, m: Module, now: data.View, products: SyncFIFO) -> SyncFIFO:
        """Let a block and its activations into the pipeline, which never waits."""
        finisher, block = self._finisher, self.block.payload
        step = block.step
        gap = Signal(range(max(2, self._cycles)))
        under_way = Signal(range(finisher.sets + 1))
        fires = Signal()
        room = (gap == 0) & (under_way != finisher.sets)
        m.d.comb += [
            fires.eq(self.block.valid & self.activations.valid & (~step.last | room)),
            self.block.ready.eq(fires),
            self.activations.ready.eq(fires),
        ]
        ends = fires & step.last
        with m.If(ends):
            m.d.sync += gap.eq(self._cycles - 1)
        with m.Elif(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        m.d.sync += under_way.eq(under_way + ends - finisher.finished)
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

        metas = by_format(m, step.tag, lambda item: item.metas, name="metas")
        scales = by_format(m, step.tag, lambda item: item.scales, name="scales")
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
        for row in range(self.rows):
            m.d.comb += [
                given.scale[row].eq(Mux(metas, block.scale[row], 1)),
                given.minimum[row].eq(Mux(metas, block.minimum[row], 0)),
            ]

        shape = info_layout(rows=self.rows, tokens=self.tokens, words=self.words)
        m.submodules.infos = infos = SyncFIFO(width=shape.size, depth=finisher.sets)
        info = Signal(shape)
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
            infos.w_data.eq(info),
            infos.w_en.eq(ends),
            products.r_en.eq(ends & last),
        ]
        for row in range(self.rows):
            m.d.comb += info.factor[row].eq(Mux(scales, block.factor[row], ONE))
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

    def _group_layout(self) -> data.StructLayout:
        return data.StructLayout(
            {
                "first": 1,
                "last": 1,
                "scale": data.ArrayLayout(8, self.rows),
                "minimum": data.ArrayLayout(signed(8), self.rows),
                "sum": data.ArrayLayout(signed(14), self.tokens),
                "factor": data.ArrayLayout(8, self.tokens),
            }
        )

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
        valid, half = fires, block.step.half
        for number in range(DEQUANTISER_LATENCY + CHAIN_LATENCY):
            later_valid = Signal(name=f"valid_{number + 1}")
            later_half = Signal(name=f"half_{number + 1}")
            m.d.sync += [later_valid.eq(valid), later_half.eq(half)]
            valid, half = later_valid, later_half

        group, now = (Signal(self._group_layout(), name=n) for n in ("group", "group_now"))
        m.submodules.control = control = AccumulatorControl()
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

        overflows = []
        for row in range(self.rows):
            for first in range(0, self.tokens, CHAIN_TOKENS):
                chain = Chain(target=self.target)
                m.submodules[f"chain_{row}_{first}"] = placed(chain)
                m.d.comb += [
                    chain.weights.eq(dequantiser.weights[row]),
                    chain.activations.eq(Cat(values[first + t] for t in range(CHAIN_TOKENS))),
                ]
                for token in range(first, first + CHAIN_TOKENS):
                    accumulator = Accumulator(bits=self.accumulator_bits)
                    m.submodules[f"accumulator_{row}_{token}"] = placed(accumulator)
                    m.d.comb += [
                        accumulator.control.eq(control.control),
                        accumulator.total.eq(chain.total[token - first]),
                        accumulator.scale.eq(now.scale[row]),
                        accumulator.minimum.eq(now.minimum[row]),
                        accumulator.sum.eq(now.sum[token]),
                        accumulator.factor.eq(factors[-1][token]),
                        finisher.accumulators[row][token].eq(accumulator.captured),
                    ]
                    counts: Value = token <= finisher.info.last_token
                    overflows.append(accumulator.overflow & counts)
        m.d.comb += [
            finisher.start.eq(control.captured),
            finisher.info.eq(infos.r_data),
            infos.r_en.eq(finisher.taken),
            finisher.first.eq(self.first),
        ]
        write = finisher.write
        m.d.comb += [
            self.write.payload.eq(write.payload),
            self.write.valid.eq(write.valid),
            write.ready.eq(self.write.ready),
        ]
        with m.If(self.error == Reason.NONE):
            blamed = [self.error_mm.eq(finisher.info.mm), self.error_next.eq(0)]
            with m.If(control.captured & Cat(overflows).any()):
                m.d.sync += [self.error.eq(Reason.OVERFLOW), *blamed]
            with m.If(finisher.misfit):
                m.d.sync += [self.error.eq(Reason.OUTPUTS), *blamed]
