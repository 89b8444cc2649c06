"""MISC: every SFU instruction, a pass at a time."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from alula.design.engines import MOST_ROW_GROUPS
from alula.gateware.arithmetic import float_activation
from alula.gateware.arithmetic.float_format import LOG2E, ONE, clean
from alula.gateware.arithmetic.float_table import TableRom
from alula.gateware.buffers.ports import (
    GROUP_ADDRESS,
    VECTOR_ADDRESS,
    activation_write,
    staging_write,
    vector_read,
    vector_write,
)
from alula.gateware.buffers.staging_buffer import MAX_GROUPS as MAX_STAGED
from alula.gateware.buffers.vector_buffer import READ_LATENCY
from alula.gateware.control.command import carried, layout, opcode
from alula.gateware.control.fault import Code, Fault, FaultLatch
from alula.gateware.hdl.repeat import placed
from alula.gateware.sfu.lane import SfuLane
from alula.gateware.sfu.max import INDEX_BITS, SfuMax, ordered
from alula.gateware.sfu.pack import SfuPack
from alula.gateware.sfu.plan import After, Factor, SfuPlan, Sink, plan
from alula.gateware.sfu.reader import SfuReader
from alula.gateware.sfu.rotate import SfuRotate
from alula.gateware.sfu.scalar import Scalar, SfuScalar
from alula.gateware.sfu.steps import SCALE_LATENCY, SfuSteps
from alula.gateware.sfu.sum import SfuSum
from alula.gateware.sfu.writer import DEPTH, SfuWriter
from alula.isa.formats import GROUP
from alula.isa.instructions import MISC_COUNTS, Engine

__all__ = ["INSTRUCTION", "OPERAND", "PASS", "ROTATE", "ROW", "TURN", "Sfu"]

INSTRUCTION = 4
"""Cycles that an instruction takes beside its rows: it waits to be taken, IDLE, BEGIN and DONE."""
PASS = 2 + READ_LATENCY
"""Cycles from SETUP to the first word in the lanes."""
OPERAND = 1
"""Cycles that the first word of `b` comes after that of `a`, as one buffer answers both."""
ROTATE = 1
"""Cycles that the first two words of ROPE wait for each other."""
TURN = 1
"""Cycles from a reduction's result to the lanes' first word that uses it."""
ROW = 1
"""Cycles between two rows."""

_COUNTS = {field: most.bit_length() for field, most in MISC_COUNTS.items()}
_ROW_BITS = _COUNTS["rows"]
_PLACES = dict.fromkeys(
    ("src", "dst", "gain", "table", "scale", "a", "b", "stride"), VECTOR_ADDRESS
)
_FIELD_BITS = _COUNTS | _PLACES
"""Bits of each field that the hardware looks at: more than any design has."""


class Sfu(wiring.Component):
    """The engine MISC.

    An instruction is a run of rows, a row a run of passes (`SfuPlan`). In a pass words leave the
    readers, go through the lanes and into the vector buffer, the sum, or the packer; maxima are
    taken of words as they are read. While a sum or a maximum is finished, the next pass reads.

    Args:
        lanes: fp32 values of a word, 2, 4, 8 or 16.
        tokens: rows that share an activation group, a power of two.
        words: of the vector buffer.
        groups: of the activation buffer.
        staging_bytes: of the staging buffer.

    Members:
        command, done, busy: as of every engine.
        a, b: read ports of the vector buffer.
        write: write port of the vector buffer.
        activation: write port of the activation buffer.
        staging: write port of staging.
        argmax (Out): the index that ARGMAX found, 0 if none.
        starved, blocked (Out): as of `Use`, while it holds an instruction.
        error (Out): why it stopped: a ROPE whose `dim` is no multiple of `2 * lanes`, a QUANTKV
            whose `dim` and `lanes` do not divide one another, a size or an address beyond what
            there is. The instruction is never done; nothing goes beyond a buffer.
    """

    def __init__(
        self,
        *,
        lanes: int,
        tokens: int,
        words: int = 1 << VECTOR_ADDRESS,
        groups: int = 1 << GROUP_ADDRESS,
        staging_bytes: int = 1 << 15,
    ) -> None:
        if lanes not in (2, 4, 8, 16):
            raise ValueError(f"lanes must be 2, 4, 8 or 16, not {lanes!r}")
        if tokens < 1 or tokens & tokens - 1:
            raise ValueError(f"tokens must be a power of two, not {tokens!r}")
        self.lanes = lanes
        self.tokens = tokens
        self.words = words
        self.groups = groups
        self.staging_bytes = staging_bytes
        super().__init__(
            {
                "command": In(stream.Signature(layout(Engine.MISC))),
                "done": Out(1),
                "busy": Out(1),
                "a": Out(vector_read(lanes)),
                "b": Out(vector_read(lanes)),
                "write": Out(vector_write(lanes)),
                "activation": Out(activation_write()),
                "staging": Out(staging_write()),
                "argmax": Out(INDEX_BITS),
                "starved": Out(1),
                "blocked": Out(1),
                "error": Out(Fault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Rows and passes; the parts and what goes between them."""
        m = Module()
        lanes, tokens = self.lanes, self.tokens
        lane_bits = (lanes - 1).bit_length()
        m.submodules.plan = planner = SfuPlan(lanes=lanes)
        m.submodules.a = a = SfuReader(lanes=lanes, words=self.words)
        m.submodules.b = b = SfuReader(lanes=lanes, words=self.words)
        m.submodules.writer = writer = SfuWriter(lanes=lanes, words=self.words)
        m.submodules.sum = total = SfuSum(lanes=lanes)
        m.submodules.max = top = SfuMax(lanes=lanes)
        m.submodules.scalar = scalar = SfuScalar()
        m.submodules.steps = steps = SfuSteps(groups=MOST_ROW_GROUPS)
        m.submodules.pack = pack = SfuPack(lanes=lanes)
        m.submodules.rotate = rotate = SfuRotate(lanes=lanes)
        connect(m, a.port, flipped(self.a))
        connect(m, b.port, flipped(self.b))
        connect(m, writer.port, flipped(self.write))
        outputs = (self.write, self.activation, self.staging)
        requests = (self.a.request, self.b.request)
        m.d.comb += [
            self.blocked.eq(Cat(port.valid & ~port.ready for port in outputs).any()),
            self.starved.eq(Cat(port.valid & ~port.ready for port in requests).any()),
        ]

        # The instruction, its row, its pass.
        command = Signal(layout(Engine.MISC))
        step = Signal(2)
        src, dst, count = Signal(17), Signal(17), Signal(17)
        element = Signal(16)
        rows, heads = Signal(_ROW_BITS), Signal(8)
        now = Signal(plan)
        m.d.comb += [
            planner.command.eq(command),
            planner.step.eq(step),
            planner.src.eq(src + (element >> lane_bits)),
            planner.dst.eq(dst),
            planner.count.eq(count),
            planner.offset.eq(element[:lane_bits]),
        ]

        start, running = Signal(), Signal()
        # A sum or a maximum is not finished; what it is for.
        reducing, from_sum, after = Signal(), Signal(), Signal(After)
        operation, results_left = Signal(Scalar), Signal(12)
        summed = Signal()
        first_word, group = Signal(), Signal(range(MOST_ROW_GROUPS))
        reads_max = (now["sink"] == Sink.MAX) | (now["sink"] == Sink.STEPS)
        rotates = now["route"]["rotate"]
        s, t = Signal(32), Signal(32)
        m.d.comb += [
            a.start.eq(start),
            a.counted.eq(now["a_counted"]),
            b.counted.eq(now["b_counted"]),
            b.start.eq(start & planner.plan["uses_b"]),
            writer.start.eq(start),
        ]
        for walks, name in ((a, "a"), (b, "b"), (writer, "write")):
            m.d.comb += [
                walks.path.eq(now[name]),
                walks.path["base"].eq(planner.plan[name]["base"]),
            ]

        # Words into the lanes, as many as have a place behind them.
        lane = [SfuLane() for _ in range(lanes)]
        in_flight = Signal(range(DEPTH + 1))
        room = in_flight != DEPTH
        go = running & ~reducing
        issue, scan = Signal(), Signal()
        both = a.valid & (b.valid | ~now["uses_b"])
        m.d.comb += [
            rotate.go.eq(go & room & rotates),
            rotate.words_valid.eq(both),
            rotate.a.eq(a.word),
            rotate.b.eq(b.word),
            scan.eq(go & reads_max & a.valid),
            issue.eq(Mux(rotates, rotate.issue, go & ~reads_max & room & both)),
            a.reserve.eq(Mux(rotates, rotate.take, issue | scan)),
            a.take.eq(a.reserve),
            b.reserve.eq(Mux(rotates, rotate.take, issue & now["uses_b"])),
            b.take.eq(Mux(now["route"]["gate"], lane[0].late, b.reserve)),
        ]
        roms = [TableRom(tables=float_activation.TABLES, ports=2) for _ in range(lanes // 2)]
        for index, rom in enumerate(roms):
            m.submodules[f"rom{index}"] = placed(rom)
        packs = Signal()
        m.d.comb += packs.eq(now["sink"] == Sink.PACK)
        quant = Signal()
        m.d.comb += quant.eq(command["opcode"] == opcode("QUANT"))
        for index, unit in enumerate(lane):
            m.submodules[f"lane{index}"] = placed(unit)
            rom, port = roms[index // 2], index % 2
            m.d.comb += [
                unit.route.eq(now["route"]),
                unit.valid.eq(issue),
                unit.a.eq(Mux(rotates, rotate.p[index], a.word[index])),
                unit.b.eq(Mux(rotates, rotate.cosine[index], b.word[index])),
                unit.c.eq(Mux(rotates, rotate.sine[index], b.word[index])),
                unit.d.eq(rotate.q[index]),
                unit.s.eq(s),
                unit.t.eq(Mux(packs & quant, steps.inverse, t)),
                rom.enable[port].eq(unit.rom_enable),
                rom.address[port].eq(unit.rom_address),
                unit.rom_row.eq(rom.row[port]),
            ]

        # What counts of the words that come out, or of those that are scanned.
        came = Signal()
        limit, mask = Signal(17), Signal(lanes)
        m.d.comb += came.eq(lane[0].result_valid)
        for index in range(lanes):
            m.d.comb += mask[index].eq(
                ~now["limited"] | ((limit > index) & (now["offset"] <= index))
            )
        with m.If(came | scan):
            m.d.sync += limit.eq(Mux(limit > lanes, limit - lanes, 0))
        result = Cat(Mux(mask[index], unit.result, 0) for index, unit in enumerate(lane))
        sums = (now["sink"] == Sink.SUM) | (now["sink"] == Sink.WRITE_SUM)
        writes = (now["sink"] == Sink.WRITE) | (now["sink"] == Sink.WRITE_SUM)
        left = Signal()
        m.d.comb += [
            writer.valid.eq(came & writes),
            writer.word.as_value().eq(result),
            total.valid.eq(came & sums),
            total.word.as_value().eq(result),
            total.finish.eq(reducing & from_sum & ~summed),
            pack.valid.eq(came & packs),
            pack.word.as_value().eq(result),
            pack.exponent.eq(Mux(quant, steps.exponent, 0)),
            pack.offset.eq(now["offset"]),
            pack.clear.eq(start),
            left.eq(Mux(writes, writer.sent, Mux(packs, pack.taken, came))),
        ]
        m.d.sync += in_flight.eq(in_flight + issue - left)

        # Maxima: of a pass, or of each group.
        words_left = Signal(16)
        group_place, group_words = Signal(range(GROUP // lanes)), GROUP // lanes
        each = now["sink"] == Sink.STEPS
        m.d.comb += [
            top.valid.eq(scan),
            top.word.eq(a.word),
            top.mask.eq(mask),
            top.absolute.eq(now["absolute"]),
            top.first.eq(Mux(each, group_place == 0, first_word)),
            top.last.eq(Mux(each, group_place == group_words - 1, words_left == 1)),
        ]
        with m.If(scan | issue):
            m.d.sync += [
                words_left.eq(words_left - 1),
                first_word.eq(0),
                group_place.eq(group_place + 1),
            ]

        m.d.comb += [
            scalar.valid.eq((total.result_valid | top.result_valid) & (after == After.SCALAR)),
            scalar.operation.eq(operation),
            scalar.x.eq(Mux(from_sum, total.result, top.result)),
            scalar.inv.eq(clean(command["inv"])),
            scalar.eps.eq(clean(command["eps"])),
        ]
        # Of QUANT, a result for each group.
        m.d.comb += [
            steps.clear.eq(start & (planner.plan["sink"] == Sink.STEPS)),
            steps.valid.eq(scalar.result_valid & (scalar.operation == Scalar.STEP)),
            steps.step.eq(scalar.result),
            steps.look.eq(issue & packs & quant),
            steps.group.eq(group),
        ]
        with m.If(steps.look & (group_place == group_words - 1)):
            m.d.sync += group.eq(group + 1)
        with m.If(scalar.result_valid):
            m.d.sync += results_left.eq(results_left - 1)

        # Blocks to the activation buffer and to staging.
        m.submodules.scales = scales = Memory(shape=8, depth=DEPTH, init=[])
        scale_in, scale_out = scales.write_port(), scales.read_port(domain="comb")
        looked = Signal(SCALE_LATENCY)
        m.d.sync += looked.eq(Cat(steps.look & (group_place == 0), looked))
        block = Signal(6)
        out_group, slot = Signal(range(MOST_ROW_GROUPS)), Signal(range(max(tokens, 2)))
        group_base, group_now = Signal(18), Signal(19)
        lost = Signal()
        rows_of = Array(
            self.staging_bytes // (GROUP * groups + 2) if 0 < groups <= MAX_STAGED else 0
            for groups in range(1 << 6)
        )
        sent = Signal()
        staged = self.staging.payload
        quantised = self.activation.payload
        m.d.comb += [
            scale_in.en.eq(looked[-1]),
            scale_in.data.eq(steps.scale),
            group_now.eq(group_base + out_group),
            lost.eq(
                pack.block_valid
                & Mux(quant, group_now >= self.groups, dst >= rows_of[planner.groups[:6]])
            ),
            self.activation.valid.eq(pack.block_valid & quant & ~lost),
            self.staging.valid.eq(pack.block_valid & ~quant & ~lost),
            pack.block_ready.eq(Mux(quant, self.activation.ready, self.staging.ready) & ~lost),
            sent.eq(pack.block_valid & pack.block_ready),
            quantised["group"].eq(group_now),
            quantised["slot"].eq(slot),
            quantised["half"].eq(pack.half),
            quantised["data"].eq(pack.block),
            quantised["side"]["scale"].eq(scale_out.data),
            quantised["side"]["sum"].eq(pack.sum),
            quantised["side"]["exponent"].eq(steps.exponent),
            staged["row"].eq(dst),
            staged["part"].eq(block),
            staged["groups"].eq(planner.groups),
            staged["data"].eq(pack.block),
            staged["scale"].eq(scalar.scale),
        ]
        with m.If(scale_in.en):
            m.d.sync += scale_in.addr.eq(scale_in.addr + 1)
        with m.If(sent):
            m.d.sync += block.eq(block + 1)
            with m.If(pack.half & quant):
                m.d.sync += [out_group.eq(out_group + 1), scale_out.addr.eq(scale_out.addr + 1)]

        # The end of a sum or a maximum.
        finished = Signal()
        best, any_best, best_index = Signal(32), Signal(), Signal(INDEX_BITS)
        m.d.comb += self.argmax.eq(Mux(any_best, best_index, 0))
        with m.Switch(after):
            with m.Case(After.TOP):
                m.d.comb += finished.eq(top.result_valid)
                with m.If(top.result_valid):
                    m.d.sync += s.eq(top.result)
            with m.Case(After.BEST):
                m.d.comb += finished.eq(top.result_valid)
                with m.If(top.result_valid):
                    m.d.sync += any_best.eq(1)
                    with m.If(~any_best | (ordered(top.result) > ordered(best))):
                        m.d.sync += [
                            best.eq(top.result),
                            best_index.eq(command["base"] + top.index),
                        ]
            with m.Case(After.SCALAR):
                m.d.comb += finished.eq(scalar.result_valid & (results_left == 1))
                with m.If(scalar.result_valid & (scalar.operation == Scalar.MEAN)):
                    m.d.sync += s.eq(scalar.result)
                with m.Elif(scalar.result_valid):
                    m.d.sync += t.eq(scalar.result)

        def expect(source) -> list:
            return [
                after.eq(source["after"]),
                operation.eq(source["scalar"]),
                from_sum.eq((source["sink"] == Sink.SUM) | (source["sink"] == Sink.WRITE_SUM)),
                results_left.eq(Mux(source["sink"] == Sink.STEPS, planner.groups, 1)),
            ]

        with m.If(total.result_valid):
            m.d.sync += summed.eq(1)
        with m.If(finished):
            m.d.sync += [reducing.eq(0), summed.eq(0)]
            m.d.sync += expect(now)

        # The pass is over when its last word has been written, added, packed or scanned.
        over = Signal()
        m.d.comb += over.eq(a.idle & b.idle & rotate.idle & (in_flight == 0) & ~pack.block_valid)
        nothing, refused = Signal(), Signal()
        m.submodules.latch = latch = FaultLatch(sources=5)
        m.d.comb += self.error.eq(latch.fault)
        for report, beyond, detail in (
            (latch.report[1], a.beyond, a.address),
            (latch.report[2], b.beyond, b.address),
            (latch.report[3], writer.beyond, writer.address),
            (latch.report[4], lost, Mux(quant, group_now, dst)),
        ):
            with m.If(beyond):
                m.d.comb += [report.code.eq(Code.OUT_OF_RANGE), report.detail.eq(detail)]

        def refuse(code: Code, detail: Value) -> list:
            report = latch.report[0]
            return [report.code.eq(code), report.detail.eq(detail), refused.eq(1)]

        name = command["opcode"]
        many, last_head = Signal(), Signal()
        with m.Switch(name):
            with m.Case(*(opcode(i) for i in ("RMSNORM", "LAYERNORM", "SOFTMAX", "QUANT"))):
                m.d.comb += [many.eq(1), last_head.eq(1)]
            with m.Case(opcode("QUANTKV")):
                m.d.comb += [many.eq(1), last_head.eq(heads == 1)]
        new = self.command.payload
        m.d.comb += self.busy.eq(1)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.command.ready.eq(1), self.busy.eq(0)]
                slots = (tokens - 1).bit_length()
                m.d.sync += [
                    command.eq(new),
                    src.eq(new["src"]),
                    dst.eq(new["dst"]),
                    count.eq(Mux(new["opcode"] == opcode("ARGMAX"), new["count"], new["len"])),
                    element.eq(0),
                    rows.eq(new["rows"]),
                    heads.eq(new["heads"]),
                    step.eq(0),
                    slot.eq(new["slot"][:slots]),
                ]
                with m.If(self.command.valid):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                with m.Switch(name):
                    with m.Case(*(opcode(i) for i in ("RMSNORM", "LAYERNORM", "SOFTMAX", "QUANT"))):
                        m.d.comb += nothing.eq((rows == 0) | (count == 0))
                    with m.Case(opcode("ROPE")):
                        split = command["dim"][: lane_bits + 1].any() | (command["dim"] == 0)
                        m.d.comb += nothing.eq((rows == 0) | (heads == 0) | split)
                        with m.If((rows != 0) & (heads != 0) & split):
                            m.d.comb += refuse(Code.UNIMPLEMENTED, command["dim"])
                    with m.Case(opcode("QUANTKV")):
                        dim = command["dim"]
                        parts = [1 << bit for bit in range(lane_bits)]
                        split = dim[:lane_bits].any() & ~dim.matches(*parts)
                        m.d.comb += nothing.eq((rows == 0) | (heads == 0) | (dim == 0) | split)
                        with m.If((rows != 0) & (heads != 0) & split):
                            m.d.comb += refuse(Code.UNIMPLEMENTED, dim)
                    with m.Case(opcode("ACT")):
                        m.d.comb += nothing.eq(command["count"][:16] == 0)
                    with m.Case(opcode("ADD")):
                        m.d.comb += nothing.eq((rows == 0) | (command["words"][:16] == 0))
                    with m.Case(opcode("ARGMAX")):
                        m.d.comb += nothing.eq(count == 0)
                        with m.If(command["first"]):
                            m.d.sync += any_best.eq(0)
                    with m.Default():
                        m.d.comb += nothing.eq(1)
                m.d.sync += group_base.eq(
                    command["dst"] + command["slot"][(tokens - 1).bit_length() : 8] * planner.groups
                )
                m.next = "SETUP"
                with m.If(nothing):
                    m.next = "DONE"
                for field, bits in _FIELD_BITS.items():
                    there = carried(name, Engine.MISC, field)
                    matters = there if field in _COUNTS else there & ~nothing
                    with m.If((command[field] >> bits).any() & matters):
                        m.d.comb += refuse(Code.OUT_OF_RANGE, command[field])
                with m.If(quant & (planner.groups > MOST_ROW_GROUPS)):
                    m.d.comb += refuse(Code.OUT_OF_RANGE, command["len"])
                with m.If(refused):
                    m.next = "STOPPED"
            with m.State("STOPPED"):
                pass
            with m.State("SETUP"):
                m.d.comb += start.eq(1)
                m.d.sync += [
                    now.eq(planner.plan),
                    limit.eq(planner.plan["limit"]),
                    words_left.eq(planner.plan["words"]),
                    first_word.eq(1),
                    group_place.eq(0),
                    group.eq(0),
                    out_group.eq(0),
                    block.eq(0),
                ]
                with m.If(finished | ~reducing):
                    m.d.sync += expect(planner.plan)
                with m.If(planner.plan["clear_s"]):
                    m.d.sync += s.eq(0)
                with m.Switch(planner.plan["factor"]):
                    with m.Case(Factor.LOG2E):
                        m.d.sync += t.eq(LOG2E)
                    with m.Case(Factor.ONE):
                        m.d.sync += t.eq(ONE)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                with m.If(over & ~reducing):
                    m.d.sync += step.eq(step + 1)
                    with m.If(now["after"] != After.NOTHING):
                        m.d.sync += reducing.eq(1)
                    m.next = "SETUP"
                    with m.If(now["last"]):
                        m.next = "ROW"
            with m.State("ROW"), m.If(~reducing):
                m.d.sync += step.eq(0)
                m.next = "DONE"
                with m.Switch(name):
                    with m.Case(opcode("RMSNORM"), opcode("LAYERNORM")):
                        m.d.sync += [
                            src.eq(src + planner.row_words),
                            dst.eq(dst + planner.row_words),
                        ]
                    with m.Case(opcode("SOFTMAX")):
                        m.d.sync += [
                            src.eq(src + command["stride"]),
                            count.eq(count + command["step"]),
                        ]
                    with m.Case(opcode("QUANT")):
                        m.d.sync += [src.eq(src + command["stride"]), slot.eq(slot + 1)]
                        with m.If(slot == tokens - 1):
                            m.d.sync += group_base.eq(group_base + planner.groups)
                            m.d.sync += slot.eq(0)
                    with m.Case(opcode("QUANTKV")):
                        m.d.sync += [
                            dst.eq(dst + 1),
                            heads.eq(heads - 1),
                            element.eq(element + command["dim"]),
                        ]
                        with m.If(heads == 1):
                            m.d.sync += [
                                heads.eq(command["heads"]),
                                element.eq(0),
                                src.eq(src + command["stride"]),
                            ]
                with m.If(many & ~((rows == 1) & last_head)):
                    m.next = "SETUP"
                with m.If(last_head):
                    m.d.sync += rows.eq(rows - 1)
            with m.State("DONE"):
                m.d.comb += self.done.eq(1)
                m.next = "IDLE"
        return m
