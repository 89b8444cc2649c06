"""Products of one half of a chunk in parts, beside what the SFU does for the other half.

A part begins with beats of its own: it is some scale beats' worth of row blocks.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from alula.codegen.emitter import engine_of, most_offset
from alula.codegen.layer import product
from alula.codegen.scope import Count, Scope
from alula.ir import Node
from alula.isa import Ref
from alula.isa.formats import SCALES_PER_BEAT
from alula.isa.formula import numbers
from alula.mapper import StoredBand

TURN = 40
"""About the cycles that the SFU takes for a row of a reduction beyond its words."""
POSITIONS = 128
"""Positions that are attended to where products are shared out between the heads."""
_MOST_STRIDE, _MOST_GROUPS = most_offset("MM", "stride"), most_offset("MM", "groups")


class Parts:
    """A product in parts of so many row blocks; in one where they may not begin anywhere.

    Of several bands the parts of the one that takes longest come first.

    Attributes:
        rows: results of a part; where there are several bands all, as parts are out of order.
        units: parts that there are.
        cycles: of the matrix engine for one, about.
        all_cycles: for all of them.
        whole: parts at the beginning that are alike; 0 where there is only one.
        each: of those, how many go with a head.
    """

    def __init__(self, scope: Scope, node: Node) -> None:
        self.scope, self.node = scope, node
        self.matrix = matrix = scope.run.section.matrices[node.unit]
        bands = sorted(matrix.bands, key=_cycles, reverse=True)
        self._first = first = bands[0]
        passes = -(-scope.buffers.rows // scope.design.mpe.tokens)
        long = scope.row_words(node.output) > _MOST_STRIDE or first.groups > _MOST_GROUPS
        steps = [SCALES_PER_BEAT * self._block_rows(band) for band in bands]
        self._step = steps[0]
        self._parts: list[tuple[StoredBand, int]] = []
        self.units, self.rows, self.whole = 1, matrix.outputs, 0
        self.cycles = self.all_cycles = passes * sum(map(_cycles, bands))
        if not (long or any(step % scope.design.sfu.lanes for step in steps)):
            self._parts = [
                (band, block) for band in bands for block in range(0, band.blocks, SCALES_PER_BEAT)
            ]
            self.units, self.whole = len(self._parts), first.outputs // self._step
            self.rows = self._step if len(bands) == 1 else matrix.outputs
            costs = [SCALES_PER_BEAT * passes * _block_cycles(band) for band, _ in self._parts]
            self.cycles, self.all_cycles = costs[0], sum(costs)
        self.each = 0

    def emit(self, first: int, count: int, piece: int | None = None) -> None:
        """Parts from one on; their results are all of the product's, or a piece."""
        if count == self.units:
            self._whole()
            return
        for band, parts in groupby(self._parts[first : first + count], key=itemgetter(0)):
            starts = [start for _, start in parts]
            start = starts[0]
            blocks = min(len(starts) * SCALES_PER_BEAT, band.blocks - start)
            skipped = start * self._block_rows(band)
            self._multiply(
                band,
                self.scope.layer(
                    self.matrix.offset + band.offset + band.format.beats(start, band.groups)
                ),
                self.scope.vector(self.node.output) + self.scope.words(band.first + skipped),
                blocks,
                min(blocks * self._block_rows(band), band.outputs - skipped),
                piece,
            )

    def beside_head(self) -> None:
        """Those that go with head `head`."""
        if not self.each:
            return
        emit, band, scope = self.scope.emit, self._first, self.scope
        blocks, outputs = self.each * SCALES_PER_BEAT, self.each * self._step
        offset = self.matrix.offset + band.offset
        with emit.scratch():
            emit.alu("SMUL", "address", "head", band.format.beats(blocks, band.groups))
            emit.add("address", "address", scope.layer(0))
            emit.alu("SMUL", "count", "head", scope.words(outputs))
            place = emit.reg("count", scope.vector(self.node.output) + scope.words(band.first))
            self._multiply(band, emit.reg("address", offset), place, blocks, outputs)

    def _block_rows(self, band: StoredBand) -> int:
        return band.format.pattern.segments * self.scope.design.rows

    def _multiply(
        self,
        band: StoredBand,
        addr: Ref,
        place: Count,
        blocks: int,
        outputs: int,
        piece: int | None = None,
    ) -> None:
        scope, emit, engine, node = self.scope, self.scope.emit, engine_of(True), self.node
        emit.origin = origin(scope, node)
        emit.op("LD.W", to=engine.name, addr=addr, blocks=blocks, **band.fields)
        emit.op(
            engine.name,
            reads=scope.touch(node.inputs[0]),
            writes=scope.touch(node.output, piece=piece),
            src=scope.activation(node.inputs[0]),
            outputs=outputs,
            rows=scope.many,
            dst=place,
            stride=scope.row_words(node.output),
            **band.fields,
        )

    def _whole(self) -> None:
        scope, node = self.scope, self.node
        scope.emit.origin = origin(scope, node)
        place = scope.layer(self.matrix.offset)
        product(scope, node, self.matrix, place, scope.many, scope.row_words(node.output))


class Beside:
    """Products of a half, cut so that each part hides some of what the SFU does for the other half.

    Some go with each attention head, and those that do not are emitted as they are asked for.

    Args:
        scope: the half whose products they are.
        nodes: the products.
        around: cycles of the SFU that are to be hidden before and behind the heads, about.
        head: cycles of the SFU that are to be hidden with a head.
    """

    def __init__(self, scope: Scope, nodes: Sequence[Node], around: int, head: int) -> None:
        self._parts = [Parts(scope, node) for node in nodes]
        heads = scope.graph.architecture.heads
        left = (sum(one.all_cycles for one in self._parts) - around) / heads
        for one in reversed(self._parts):
            wanted = -(-left // one.cycles)
            if wanted * one.cycles > head:
                wanted = left // one.cycles
            one.each = min(one.whole // heads, max(0, int(wanted)))
            left, head = min(left, head) - one.each * one.cycles, head - one.each * one.cycles
        self._next = [one.each * heads for one in self._parts]

    def hide(self, cycles: int) -> None:
        """Emit what takes the matrix engine about so long, as far as there is as much."""
        for number, one in enumerate(self._parts):
            count = min(one.units - self._next[number], -(-max(0, cycles) // one.cycles))
            one.emit(self._next[number], count)
            self._next[number] += count
            cycles -= count * one.cycles

    def rest(self) -> None:
        """Emit what is left of what does not go with a head."""
        for number, one in enumerate(self._parts):
            one.emit(self._next[number], one.units - self._next[number])
            self._next[number] = one.units

    def beside_head(self, turn: int, turns: int) -> None:
        """Emit what goes with head `head`, at one of its turns."""
        for one in self._parts[turn::turns]:
            one.beside_head()


def _block_cycles(band: StoredBand) -> int:
    """Cycles of a row block in a pass."""
    known = numbers({"fmt": band.format.name, "nm": band.format.pattern.name})
    return known["HALVES"] * band.groups


def _cycles(band: StoredBand) -> int:
    """Cycles of a band in a pass."""
    return band.blocks * _block_cycles(band)


def origin(scope: Scope, node: Node) -> str:
    """The unit that a node belongs to, of this layer or of the one before."""
    behind = scope.stream is not None and scope.stream.layer != "layer"
    return node.unit.replace("layers.*", "layers.*-1") if behind else node.unit


def sfu_cycles(scope: Scope, nodes: Sequence[Node]) -> int:
    """About the cycles that the SFU takes for some nodes of a half."""
    kv = scope.memory.kv
    total = 0
    for node in nodes:
        words = scope.words(scope.graph.width(node.inputs[0]))
        if node.op == "quantise":
            total += scope.buffers.rows * (2 * words + TURN)
        elif node.op == "norm":
            total += scope.buffers.rows * 2 * (words + TURN)
        elif node.op == "head_norm":
            total += scope.buffers.rows * (2 * words + node.heads * TURN)
        elif node.op == "append":
            total += 2 * scope.buffers.rows * (2 * words + kv.heads * TURN)
        elif node.op != "product":
            total += scope.buffers.rows * words
    return total


def head_cycles(scope: Scope) -> int:
    """About the cycles that the SFU takes for the scores of a head of a half."""
    return scope.buffers.rows * (5 * scope.words(POSITIONS) + 3 * TURN)
