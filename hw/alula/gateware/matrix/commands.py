"""Instructions of MM and MV: which is next, whether it can be, and what it sets going."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from alula.gateware.buffers.activation_buffer import request_layout
from alula.gateware.control.command import layout, opcode
from alula.gateware.hdl.skid_buffer import SkidBuffer
from alula.gateware.matrix.bounds import Bounds
from alula.gateware.matrix.layout import product_layout
from alula.gateware.matrix.reason import NUMBER_BITS, ProductReason
from alula.gateware.stream.steps import Steps
from alula.gateware.stream.weight_format import by_format
from alula.gateware.stream.weight_stream import REPLAY, TAG
from alula.isa.instructions import Engine

PRODUCTS_AHEAD = 4
"""Products that may have been taken and not fired their last block."""
FINISHING = 64
"""Products, at most, whose last results are still on their way."""
PLACE = ("src", "dst", "stride", "outputs")
"""Fields that say what a product reads and writes."""


class Commands(Component):
    """Begins products in the order of the weight stream, and says when each is done.

    A product that is offered is kept and decoded in a cycle. Then the stream and the activation
    buffer are read, which changes nothing in them. Meanwhile `Bounds` finds what the product reads
    and writes. Only then it is taken and handed on, and none of its row blocks ends before: what is
    refused writes nothing, and what came before ends as it should.

    Args:
        bounds: Of the same sizes; it becomes part of this.

    Members:
        mm_command, mv_command, mm_done, mv_done, mm_busy, mv_busy, head, replay, request: Those of
            `Mpe`.
        halt (In(1)): Begin nothing more.
        refusal, number (Out): The `ProductReason` why the product that is offered cannot be, and
            its number; it is not taken.
        mm_taken, mv_taken (Out(1)): A product is taken.
        product (Out stream of `product_layout`): Those that were taken, for as long as their blocks
            come.
        mm_finished, mv_finished (In(1)): All writes of the oldest one have been taken.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.sizes = bounds.sizes
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
                "request": Out(stream.Signature(request_layout(bounds.sizes.groups))),
                "halt": In(1),
                "refusal": Out(ProductReason),
                "number": Out(NUMBER_BITS),
                "mm_taken": Out(1),
                "mv_taken": Out(1),
                "product": Out(stream.Signature(product_layout(bounds.sizes))),
                "mm_finished": In(1),
                "mv_finished": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        head = self.head.payload
        command = Signal(layout(Engine.MM), reset_less=True)
        m.submodules.bounds = bounds = self._bounds
        m.submodules.steps = steps = Steps(tag=self.request.payload.group.shape())
        shape = self.product.payload.shape()
        m.submodules.products = products = SyncFIFO(width=shape.size, depth=PRODUCTS_AHEAD)
        offered = Signal(command.shape())
        there, started, judged, fits = Signal(), Signal(), Signal(), Signal()
        begins, takes = Signal(), Signal()
        wrong = self._decode(m, offered, command, ~there)
        m.d.comb += [
            offered.eq(Mux(head.mm, self.mm_command.payload, self.mv_command.payload)),
            begins.eq(
                there
                & ~(started | self.halt | self.replay.valid | steps.command.valid)
                & (wrong == ProductReason.NONE)
                & products.w_rdy
            ),
            takes.eq(started & ~self.halt & fits),
            bounds.waits.eq(~there),
            bounds.start.eq(self._is_offered() & ~there),
            bounds.format.eq(head.format),
            bounds.blocks.eq(head.blocks),
            bounds.row_groups.eq(head.groups),
            bounds.last_row.eq(offered.rows - 1),
            *(getattr(bounds, name).eq(offered[name]) for name in PLACE),
            self.head.ready.eq(takes),
        ]
        with m.If(bounds.start):
            m.d.sync += there.eq(1)
        with m.If(begins):
            m.d.sync += started.eq(1)
        with m.If(bounds.done):
            m.d.sync += judged.eq(1)
        m.d.sync += fits.eq((bounds.done | judged) & (bounds.refusal == ProductReason.NONE))
        with m.If(takes):
            m.d.sync += [there.eq(0), started.eq(0), judged.eq(0), fits.eq(0)]
        with m.If(there & (wrong != ProductReason.NONE)):
            m.d.comb += self.refusal.eq(wrong)
        with m.Elif(bounds.done | judged):
            m.d.comb += [self.refusal.eq(bounds.refusal), self.number.eq(bounds.number)]

        tokens = self.sizes.tokens
        token_bits = tokens.bit_length() - 1
        product = Signal(shape)
        m.d.comb += [
            product.mm.eq(head.mm),
            product.dst.eq(command.dst),
            product.stride.eq(command.stride),
            product.outputs.eq(command.outputs),
            product.last_token.eq((command.rows - 1)[:token_bits]),
            products.w_data.eq(product),
            products.w_en.eq(takes),
            self.product.payload.eq(products.r_data),
            self.product.valid.eq(products.r_rdy),
            products.r_en.eq(self.product.ready),
        ]
        for replay, tag in ((self.replay, head.format), (steps.command, command.src)):
            self._begin(m, replay, tag, begins, (command.rows + tokens - 1) >> token_bits)
        self._read(m, steps)
        self._count(m, Engine.MM, takes & head.mm)
        self._count(m, Engine.MV, takes & ~head.mm)
        return m

    def _is_offered(self) -> Value:
        """Whether the engine that the stream's head is for has a product for it."""
        mm, mv = self.mm_command, self.mv_command
        return self.head.valid & Mux(
            self.head.payload.mm,
            mm.valid & (mm.payload.opcode == opcode("MM")),
            mv.valid & (mv.payload.opcode == opcode("MV")),
        )

    def _decode(self, m: Module, offered: data.View, command: data.View, waits: Value) -> Signal:
        """Keep what is offered while `waits`, and what is wrong with it, a cycle later."""
        head = self.head.payload
        format_code = Cat(offered.fmt, offered.nm)
        found = by_format(m, format_code, lambda _: 1, name="found", sparse=self.sizes.sparse)
        known, other, empty, many = (Signal(name=n) for n in ("known", "other", "empty", "many"))
        wrong = Signal(ProductReason)
        with m.If(waits):
            m.d.sync += [
                command.eq(offered),
                known.eq(found),
                other.eq((format_code != head.format) | (offered.groups != head.groups)),
                empty.eq(~offered.rows.any()),
                many.eq(~head.mm & (offered.rows > self.sizes.tokens)),
            ]
        with m.If(~known):
            m.d.comb += wrong.eq(ProductReason.FORMAT)
        with m.Elif(other):
            m.d.comb += wrong.eq(ProductReason.STREAM)
        with m.Elif(empty | many):
            m.d.comb += wrong.eq(ProductReason.ROWS)
        return wrong

    def _begin(
        self, m: Module, replay: stream.Interface, tag: Value, begins: Value, passes: Value
    ) -> None:
        """Offer a product's replay, from the cycle after it begins until it is taken."""
        valid, payload = Signal(), Signal(replay.payload.shape(), reset_less=True)
        m.d.comb += [replay.valid.eq(valid), replay.payload.eq(payload)]
        with m.If(begins):
            m.d.sync += [
                valid.eq(1),
                payload.tag.eq(tag),
                payload.blocks.eq(self.head.payload.blocks),
                payload.groups.eq(self.head.payload.groups),
                payload.passes.eq(passes),
            ]
        with m.Elif(replay.ready):
            m.d.sync += valid.eq(0)

    def _read(self, m: Module, steps: Steps) -> None:
        """Ask for the activations of each step; groups follow each other through all passes."""
        step = steps.step.payload
        # The buffer's answer is late in a cycle.
        m.submodules.requests = requests = SkidBuffer(shape=self.request.payload.shape())
        following, address = (Signal.like(step.tag, name=n) for n in ("following", "address"))
        request = requests.items
        connect(m, requests.taken, flipped(self.request))
        m.d.comb += [
            address.eq(Mux(step.first & step.first_pass, step.tag, following)),
            request.valid.eq(steps.step.valid),
            request.payload.group.eq(address),
            request.payload.half.eq(step.half),
            steps.step.ready.eq(request.ready),
        ]
        with m.If(steps.step.valid & request.ready & step.half):
            m.d.sync += following.eq(address + 1)

    def _count(self, m: Module, engine: Engine, takes: Signal) -> None:
        """Count an engine's products under way; its SYNC waits until there is none."""
        name = engine.name.lower()
        command, done, busy, taken, finished = (
            getattr(self, f"{name}_{port}")
            for port in ("command", "done", "busy", "taken", "finished")
        )
        count = Signal(range(2 * PRODUCTS_AHEAD + FINISHING), name=f"{name}_under_way")
        sync, synced = Signal(name=f"{name}_sync"), Signal(2, name=f"{name}_synced")
        is_sync = command.payload.opcode == opcode(f"{engine.name}.SYNC")
        m.d.comb += [
            taken.eq(takes),
            command.ready.eq(taken | sync),
            done.eq(finished | synced[1]),
            busy.eq(count.any() | sync | synced.any()),
        ]
        m.d.sync += [
            sync.eq(command.valid & is_sync & ~count.any() & ~sync),
            synced.eq(Cat(sync, synced)),
            count.eq(count + taken - finished),
        ]
