"""Instructions of MM and MV: which is next, whether it can be, and what it sets going."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.buffers.activation_buffer import request_layout
from alula.gateware.control.command import layout, opcode
from alula.gateware.matrix.bounds import Bounds
from alula.gateware.matrix.layout import product_layout
from alula.gateware.matrix.reason import NUMBER_BITS, Reason
from alula.gateware.stream.steps import Steps
from alula.gateware.stream.weight_format import by_format
from alula.gateware.stream.weight_stream import TAG, WALK
from alula.isa.instructions import Engine

__all__ = ["PRODUCTS_AHEAD", "Commands"]

PRODUCTS_AHEAD = 4
"""Products that may have been taken and not fired their last block."""
FINISHING = 64
"""Products, at most, whose last results are still on their way."""


class Commands(Component):
    """Begins products in the order of the weight stream, and says when each is done.

    The stream and the activation buffer are read as soon as a product is offered, which changes
    nothing in them. Meanwhile `Bounds` looks at what it reads and writes. Only then it is taken and
    handed on, and none of its row blocks ends before: what is refused writes nothing, and what came
    before ends as it should.

    Args:
        bounds: Of the same sizes; it becomes part of this.

    Members:
        mm_command, mv_command, mm_done, mv_done, mm_busy, mv_busy, head, walk, request: Those of
            `Mpe`.
        halt (In(1)): Begin nothing more.
        refusal, number (Out): The `Reason` why the product that is offered cannot be, and its
            number; it is not taken.
        mm_taken, mv_taken (Out(1)): A product is taken.
        product (Out stream of `product_layout`): Those that were taken, for as long as their blocks
            come.
        mm_finished, mv_finished (In(1)): All writes of the oldest one have been taken.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.tokens, self.sparse = bounds.tokens, bounds.sparse
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
                "request": Out(stream.Signature(request_layout(bounds.groups))),
                "halt": In(1),
                "refusal": Out(Reason),
                "number": Out(NUMBER_BITS),
                "mm_taken": Out(1),
                "mv_taken": Out(1),
                "product": Out(
                    stream.Signature(product_layout(tokens=bounds.tokens, words=bounds.words))
                ),
                "mm_finished": In(1),
                "mv_finished": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        head = self.head.payload
        command = Signal(layout(Engine.MM))
        offered, begins, takes = Signal(), Signal(), Signal()
        m.d.comb += [
            command.eq(Mux(head.mm, self.mm_command.payload, self.mv_command.payload)),
            offered.eq(
                self.head.valid
                & Mux(head.mm, self.mm_command.valid, self.mv_command.valid)
                & (command.opcode == Mux(head.mm, opcode("MM"), opcode("MV")))
            ),
        ]
        m.submodules.bounds = bounds = self._bounds
        with m.If(bounds.done):
            m.d.comb += [self.refusal.eq(bounds.refusal), self.number.eq(bounds.number)]
        with m.Elif(offered):
            self._judge(m, command)

        shape = self.product.payload.shape()
        m.submodules.products = products = SyncFIFO(width=shape.size, depth=PRODUCTS_AHEAD)
        m.submodules.steps = steps = Steps(tag=self.request.payload.group.shape())
        token_bits = self.tokens.bit_length() - 1
        last_row, product = Signal(32), Signal(shape)
        m.d.comb += [
            begins.eq(
                offered
                & ~self.halt
                & (self.refusal == Reason.NONE)
                & ~bounds.busy
                & self.walk.ready
                & steps.command.ready
                & products.w_rdy
            ),
            takes.eq(bounds.done & ~self.halt & (bounds.refusal == Reason.NONE)),
            last_row.eq(command.rows - 1),
            bounds.start.eq(begins),
            bounds.format.eq(head.format),
            bounds.blocks.eq(head.blocks),
            bounds.row_groups.eq(head.groups),
            bounds.last_row.eq(last_row),
            self.walk.valid.eq(begins),
            self.walk.payload.tag.eq(head.format),
            steps.command.valid.eq(begins),
            steps.command.payload.tag.eq(command.src),
            self.head.ready.eq(takes),
            product.mm.eq(head.mm),
            product.dst.eq(command.dst),
            product.stride.eq(command.stride),
            product.outputs.eq(command.outputs),
            product.last_token.eq(last_row[:token_bits]),
            products.w_data.eq(product),
            products.w_en.eq(takes),
            self.product.payload.eq(products.r_data),
            self.product.valid.eq(products.r_rdy),
            products.r_en.eq(self.product.ready),
        ]
        for name in ("src", "dst", "stride", "outputs"):
            m.d.comb += getattr(bounds, name).eq(command[name])
        for walk in (self.walk.payload, steps.command.payload):
            m.d.comb += [
                walk.blocks.eq(head.blocks),
                walk.groups.eq(head.groups),
                walk.passes.eq((last_row >> token_bits) + 1),
            ]
        self._read(m, steps)
        self._count(m, Engine.MM, takes & head.mm)
        self._count(m, Engine.MV, takes & ~head.mm)
        return m

    def _judge(self, m: Module, command: data.View) -> None:
        """Refuse what is not as the head of the stream, or as the contract says."""
        head, format_code = self.head.payload, Cat(command.fmt, command.nm)
        known = by_format(m, format_code, lambda _: 1, name="known", sparse=self.sparse)
        with m.If(~known):
            m.d.comb += self.refusal.eq(Reason.FORMAT)
        with m.Elif((format_code != head.format) | (command.groups != head.groups)):
            m.d.comb += self.refusal.eq(Reason.STREAM)
        with m.Elif(~command.rows.any() | (~head.mm & (command.rows > self.tokens))):
            m.d.comb += self.refusal.eq(Reason.ROWS)

    def _read(self, m: Module, steps: Steps) -> None:
        """Ask for the activations of each step; groups follow each other through all passes."""
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

    def _count(self, m: Module, engine: Engine, takes: Signal) -> None:
        """Count an engine's products under way; its SYNC waits until there is none."""
        name = engine.name.lower()
        command, done, busy, taken, finished = (
            getattr(self, f"{name}_{port}")
            for port in ("command", "done", "busy", "taken", "finished")
        )
        count = Signal(range(2 * PRODUCTS_AHEAD + FINISHING), name=f"{name}_under_way")
        sync, synced = Signal(name=f"{name}_sync"), Signal(name=f"{name}_synced")
        m.d.comb += [
            taken.eq(takes),
            sync.eq(
                command.valid
                & (command.payload.opcode == opcode(f"{engine.name}.SYNC"))
                & ~count.any()
                & ~synced
            ),
            command.ready.eq(taken | sync),
            done.eq(finished | synced),
            busy.eq(count.any() | synced),
        ]
        m.d.sync += [count.eq(count + taken - finished), synced.eq(sync)]
