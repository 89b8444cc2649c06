"""ST.KEY and ST.VALUE: rows of staging to the KV cache, a token and head after the other."""

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

from alula.design import BLOCK
from alula.gateware.arithmetic.quotient import multiple, quotient
from alula.gateware.buffers import staging_buffer
from alula.gateware.control.command import layout, opcode
from alula.gateware.control.fault import Code
from alula.gateware.memory.sizes import MemorySizes
from alula.gateware.memory.store_runs import ADDRESS_BITS, Storer, run_layout
from alula.isa.instructions import Engine
from alula.isa.kv import KV_GROUPS, row_bytes

_POSITION_BITS = 24


def progress_layout(sizes: MemorySizes) -> data.StructLayout:
    """Where a storer of the cache is.

    `position` of the token; its row block (`block`) and row in it (`rest`); `base` of the head;
    the `half` group at hand, `staged`, and the run (`piece`) of it that comes next.
    """
    rows = sizes.cores * sizes.channels * sizes.beat_bytes // 8
    return data.StructLayout(
        {
            "position": _POSITION_BITS,
            "block": _POSITION_BITS,
            "rest": range(max(2, rows)),
            "base": ADDRESS_BITS,
            "half": range(2 * KV_GROUPS),
            "piece": range(BLOCK),
            "staged": staging_buffer.read_layout(),
        }
    )


class CacheRuns(Component):
    """Cuts what is staged of a token and head into runs: of K or of V.

    Members:
        command, progress: What is stored, and how far. Both are held from the token's block on.
        begin: A head begins; for one cycle.
        next: The run has been taken.
        run: Of this piece of what is at hand.
        last: It is the last of them.
        scale: The head's scale.
    """

    def __init__(self, sizes: MemorySizes) -> None:
        self.sizes = sizes
        self.lane, self.rows = sizes.beat_bytes, sizes.beat_bytes // 8
        self.block_rows = self.rows * sizes.cores * sizes.channels
        super().__init__(
            {
                "command": In(layout(Engine.ST)),
                "progress": In(progress_layout(sizes)),
                "begin": In(1),
                "next": In(1),
                "run": Out(run_layout(sizes)),
                "last": Out(1),
                "scale": Out(run_layout(sizes)),
            }
        )


class StoreCache(Storer):
    """Takes each token's and head's row of staging and writes its runs, then its scale.

    Args:
        sizes: Of the memory.
        staging_bytes: Size of the staging buffer.

    Members: those of `Storer`, and
        request, staged: The read ports of the staging buffer.
        keys, values: Where runs of ST.KEY and ST.VALUE go: to a `CacheRuns` each.
        run: To `RunWriter`.
        waits: For staging. A register.
    """

    def __init__(
        self, sizes: MemorySizes, keys: CacheRuns, values: CacheRuns, *, staging_bytes: int
    ) -> None:
        self.staging_bytes = staging_bytes
        self._cuts = {"keys": keys, "values": values}
        super().__init__(
            sizes,
            {
                "request": Out(stream.Signature(staging_buffer.place_layout(staging_bytes))),
                "staged": In(stream.Signature(staging_buffer.read_layout())),
                "run": Out(stream.Signature(run_layout(sizes))),
                "waits": Out(1),
            },
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        command, run = self.command, self.run
        progress = Signal(progress_layout(self.sizes), reset_less=True)
        groups = command.groups[: KV_GROUPS.bit_length()]
        begins, takes, scales = Signal(), Signal(), Signal()
        last_piece = self._cut(m, progress, begins, takes, scales)
        tokens_left, heads_left, row = Signal(32), Signal(32), Signal(32)
        # What is compared is registered before it decides.
        empty, wide, far, excess = Signal(), Signal(), Signal(), Signal()
        last_token, last_head, last_half = Signal(), Signal(), Signal()
        rows = Signal(range(self.staging_bytes))
        m.d.sync += [
            empty.eq((command.heads == 0) | (command.rows == 0) | (command.groups == 0)),
            wide.eq(command.groups > KV_GROUPS),
            far.eq((command.position >> _POSITION_BITS).any()),
            rows.eq(self._rows()[groups]),
            excess.eq(row >= rows),
            last_token.eq(tokens_left == 1),
            last_head.eq(heads_left == 1),
            last_half.eq(progress.half == (groups << 1) - 1),
        ]
        block_rows = self._cuts["keys"].block_rows
        request = self.request.payload
        m.d.comb += [request.row.eq(row), request.half.eq(progress.half), request.groups.eq(groups)]
        m.d.comb += self.staged.ready.eq(self.waits)
        with m.FSM():
            with m.State("Idle"), m.If(self.start):
                m.d.sync += [
                    progress.position.eq(command.position),
                    tokens_left.eq(command.rows),
                    row.eq(command.src),
                ]
                self._begin(m, empty, wide, far)
            with m.State("Token"):
                m.d.sync += progress.block.eq(quotient(progress.position, block_rows))
                m.next = "Place"
            with m.State("Place"):
                m.d.sync += [
                    progress.rest.eq(progress.position - multiple(progress.block, block_rows)),
                    progress.base.eq(command.addr),
                    heads_left.eq(command.heads),
                ]
                m.next = "Head"
            with m.State("Head"):
                m.d.comb += begins.eq(1)
                m.d.sync += [progress.half.eq(0), progress.piece.eq(0)]
                m.next = "Check"
            with m.State("Check"):
                m.next = "Ask"
                with m.If(excess):
                    self.refuse(m, Code.OUT_OF_RANGE, row)
                    m.next = "Stopped"
            with m.State("Ask"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.d.sync += self.waits.eq(1)
                    m.next = "Take"
            with m.State("Take"):
                m.d.sync += progress.staged.eq(self.staged.payload)
                with m.If(self.staged.valid):
                    m.d.sync += self.waits.eq(0)
                    m.next = "Run"
            with m.State("Run"):
                m.d.comb += [run.valid.eq(1), takes.eq(run.ready)]
                with m.If(run.ready):
                    m.d.sync += progress.piece.eq(progress.piece + 1)
                    with m.If(last_piece):
                        m.d.sync += [progress.piece.eq(0), progress.half.eq(progress.half + 1)]
                        m.next = "Ask"
                        with m.If(last_half):
                            m.next = "Scale"
            with m.State("Scale"):
                m.d.comb += [run.valid.eq(1), scales.eq(1)]
                with m.If(run.ready):
                    m.d.sync += [
                        progress.base.eq(progress.base + command.stride),
                        heads_left.eq(heads_left - 1),
                        row.eq(row + 1),
                    ]
                    m.next = "Head"
                    with m.If(last_head):
                        m.d.sync += [
                            progress.position.eq(progress.position + 1),
                            tokens_left.eq(tokens_left - 1),
                        ]
                        m.next = "Token"
                        with m.If(last_token):
                            m.d.comb += self.over.eq(1)
                            m.next = "Idle"
            with m.State("Stopped"):
                pass
        return m

    def _begin(self, m: Module, empty: Signal, wide: Signal, far: Signal) -> None:
        """Go to the first token, unless there is none or the instruction is refused."""
        with m.If(empty):
            m.d.comb += self.over.eq(1)
        with m.Elif(wide):
            self.refuse(m, Code.OUT_OF_RANGE, self.command.groups)
        with m.Elif(far):
            self.refuse(m, Code.OUT_OF_RANGE, self.command.position)
        with m.Else():
            m.next = "Token"

    def _cut(
        self, m: Module, progress: data.View, begins: Signal, takes: Signal, scales: Signal
    ) -> Signal:
        """Offer the run of the instruction at hand, or its scale. Return whether it is the last."""
        last = Signal()
        for name, cut in self._cuts.items():
            m.submodules[name] = cut
            m.d.comb += [
                cut.command.eq(self.command),
                cut.progress.eq(progress),
                cut.begin.eq(begins),
                cut.next.eq(takes),
            ]
            with m.If((self.command.opcode == opcode("ST.KEY")) == (name == "keys")):
                m.d.comb += [
                    self.run.payload.eq(Mux(scales, cut.scale, cut.run)),
                    last.eq(cut.last),
                ]
        return last

    def _rows(self) -> Array:
        """Rows of staging by the groups of a row."""
        return Array(
            self.staging_bytes // row_bytes(groups) if groups else 0
            for groups in range(KV_GROUPS + 1)
        )
