"""Sixteen weights times sixteen activations of two tokens: the CSD-chain."""

from amaranth.hdl import Array, Cat, Module, Signal, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Member, Out

from alula.design import BLOCK
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.repeat import shared
from alula.gateware.hdl.target import TARGETS, Target
from alula.gateware.matrix.multiplier import LANE_BITS, PackedMultiplier
from alula.gateware.matrix.multiplier import LATENCY as MULTIPLIER_LATENCY

GROUPS = 8
"""DSP groups of a chain, two multipliers each."""
HALF = 4
"""Groups whose sum a lane holds: a sum never goes on from group 3 to group 4."""
TOTAL_BITS = 20
"""Bits of the sum of a whole block."""
TOKENS = 2
"""Tokens of a chain: the lanes of a packed multiplier."""
LATENCY = 1 + MULTIPLIER_LATENCY + (2 * HALF - 1) + 1
"""Cycles from operands to sums: MUX, multiplier, cascade of eight, reduction."""


class Chain(Component):
    """One row of weights times two tokens: one long dot product or several short ones.

    A configurable sparse DSP chain (CSD-chain): eight groups of two multipliers in a row. A
    reduction node at a group's end hands out the sum of its segment; a cut there makes the next
    group start from zero. The sum of a segment of at most four groups fits a lane, so groups 3 and
    7 always end one. Patterns of N non-zeros in 16 put the non-zeros of 16 / N rows side by side:
    cuts after every N / 2 groups.

    Args:
        target (str): See `PackedMultiplier`. ``portable`` sums in adder trees, with the latency
            of the others.
        sparse (bool): With sparse MUXes and cuts; otherwise weight ``i`` meets activation ``i``.
        cascaded (bool): Build ``portable`` from multipliers as the other targets are; slower in
            simulation.
        skewed (bool): The operands of each multiplier come as much later as `lateness` says. Not
            if ``sparse``, nor with adder trees.

    Members:
        activations (In(2 x 16 x 8), signed): A block of each token, -127..127.
        weights (In(16 x 8), signed)
        pruned (In(1)): The block has a pattern: ``index`` and ``cuts`` count, and ``sums`` instead
            of ``total``. Only if ``sparse``.
        index (In(16 x 4)): The activation that each weight meets. Only if ``sparse``.
        cuts (In(8)): Bit ``g``: a segment ends after group ``g``; bits 3 and 7 are taken as set.
            Comes with the operands. Only if ``sparse``.
        sums (Out(8 x 2 x 18), signed): Each token's sum from its segment's start to the end of
            group ``g``, of a block with a pattern. Only if ``sparse``.
        total (Out(2 x 20), signed): Each token's dot product with a block without a pattern.

    No handshake: operands are taken every cycle, results follow `LATENCY` cycles later.
    """

    def __init__(
        self,
        *,
        target: Target = "portable",
        sparse: bool = False,
        cascaded: bool = False,
        skewed: bool = False,
    ) -> None:
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
        self.target: Target = target
        self.sparse = bool(sparse)
        self.cascaded = bool(cascaded)
        self.skewed = bool(skewed)
        if self.skewed and (self.sparse or (target == "portable" and not self.cascaded)):
            raise ValueError("skewed must be False for a sparse chain or adder trees, not True")
        members: dict[str, Member] = {
            "activations": In(data.ArrayLayout(data.ArrayLayout(signed(8), BLOCK), TOKENS)),
            "weights": In(data.ArrayLayout(signed(8), BLOCK)),
            "total": Out(data.ArrayLayout(signed(TOTAL_BITS), TOKENS)),
        }
        if self.sparse:
            members |= {
                "pruned": In(1),
                "index": In(data.ArrayLayout(4, BLOCK)),
                "cuts": In(GROUPS),
                "sums": Out(data.ArrayLayout(data.ArrayLayout(signed(LANE_BITS), TOKENS), GROUPS)),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        operands = [[self._pick(m, token, i) for token in range(TOKENS)] for i in range(BLOCK)]
        if self.target == "portable" and not self.cascaded:
            self._trees(m, operands)
        else:
            self._cascades(m, operands)
        return m

    def _pick(self, m: Module, token: int, i: int) -> Value:
        """The activation in front of multiplier `i`."""
        values = [self.activations[token][k] for k in range(BLOCK)]
        if not self.sparse:
            return values[i]
        picked = Signal(signed(8), name=f"picked_{token}_{i}")
        m.d.comb += picked.eq(values[i])
        with m.If(self.pruned):
            m.d.comb += picked.eq(Array(values)[self.index[i]])
        return picked

    def _starts(self, group: int) -> Value | int:
        """Whether a group starts from zero."""
        if group % HALF == 0:
            return 1
        return self.pruned & self.cuts[group - 1] if self.sparse else 0

    def _trees(self, m: Module, operands: list[list[Value]]) -> None:
        """Totals, and sums of blocks with a pattern; what is not asked for keeps its value."""
        tokens = range(TOKENS)
        products = [[self.weights[i] * operands[i][t] for i in range(BLOCK)] for t in tokens]
        totals = [Signal(signed(TOTAL_BITS), name=f"sum_{t}") for t in tokens]
        add = [total.eq(sum(row[1:], row[0])) for total, row in zip(totals, products, strict=True)]
        if not self.sparse:
            m.d.comb += [*add, self.total.eq(self._delayed(m, "totals", Cat(*totals), LATENCY))]
            return
        running = [
            [Signal(signed(LANE_BITS), name=f"sum_{g}_{t}") for t in tokens] for g in range(GROUPS)
        ]
        with m.If(~self.pruned):
            m.d.comb += add
        with m.Else():
            for group in range(GROUPS):
                for t in tokens:
                    pair = products[t][2 * group] + products[t][2 * group + 1]
                    m.d.comb += running[group][t].eq(pair)
                    if group % HALF:
                        with m.If(~self._starts(group)):
                            m.d.comb += running[group][t].eq(running[group - 1][t] + pair)
        flag: Value = self.pruned
        total, sums = Cat(*totals), Cat(*(Cat(*lanes) for lanes in running))
        for cycle in range(1, LATENCY + 1):
            later_flag = Signal(name=f"pruned_{cycle}")
            later_total = Signal(len(total), name=f"totals_{cycle}", reset_less=True)
            later_sums = Signal(len(sums), name=f"sums_{cycle}", reset_less=True)
            m.d.sync += later_flag.eq(flag)
            with m.If(flag):
                m.d.sync += later_sums.eq(sums)
            with m.Else():
                m.d.sync += later_total.eq(total)
            flag, total, sums = later_flag, later_total, later_sums
        m.d.comb += [self.total.eq(total), Cat(*self.sums).eq(sums)]

    def _cascades(self, m: Module, operands: list[list[Value]]) -> None:
        ends: list[list[Value]] = []
        previous = None
        for i in range(BLOCK):
            group, position = i // 2, i % (2 * HALF)
            joins = 1 if i % 2 else ~Cat(self._starts(group))
            chosen = Cat(operands[i][0], operands[i][1], self.weights[i], joins)
            late = 0 if self.skewed else lateness(i)
            operand = self._delayed(m, f"operands_{i}", chosen, late)
            multiplier = PackedMultiplier(target=self.target)
            m.submodules[f"multiplier_{i}"] = shared(multiplier)
            m.d.comb += [
                Cat(multiplier.d, multiplier.a, multiplier.b, multiplier.joins).eq(operand),
            ]
            if previous is not None and position:
                m.d.comb += multiplier.cascade_in.eq(previous.cascade_out)
            previous = multiplier
            if i % 2:
                lanes = Cat(multiplier.low, multiplier.high)
                aligned = self._delayed(m, f"sum_{group}", lanes, 2 * HALF - 1 - position)
                ends.append([aligned[:LANE_BITS].as_signed(), aligned[LANE_BITS:].as_signed()])
        for token in range(TOKENS):
            total = Signal(signed(TOTAL_BITS), name=f"total_{token}", reset_less=True)
            m.d.sync += total.eq(ends[HALF - 1][token] + ends[-1][token])
            m.d.comb += self.total[token].eq(total)
            if self.sparse:
                for group, lanes in enumerate(ends):
                    value = Signal(signed(LANE_BITS), name=f"end_{group}_{token}", reset_less=True)
                    m.d.sync += value.eq(lanes[token])
                    m.d.comb += self.sums[group][token].eq(value)

    def _delayed(self, m: Module, name: str, value: Value, cycles: int) -> Value:
        return delayed(m, Cat(value), cycles, name=name, reset_less=True)[-1]


def lateness(multiplier: int) -> int:
    """Return how many cycles after a block is taken the cascade takes a multiplier's operands."""
    return 1 + multiplier % (2 * HALF)


def cuts_of(segments: int) -> int:
    """Return the cuts of a chain that carries so many rows; none without a pattern."""
    groups = GROUPS // segments
    return (
        sum(1 << groups * (segment + 1) - 1 for segment in range(segments)) if segments > 1 else 0
    )
