"""The chains of all rows and tokens, which share their operands."""

from amaranth.hdl import Cat, Module, Value, signed
from amaranth.lib import data
from amaranth.lib.wiring import Component, In, Member, Out

from alula.design import BLOCK
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.repeat import shared
from alula.gateware.hdl.target import Target
from alula.gateware.matrix.chain import GROUPS, TOKENS, TOTAL_BITS, Chain, lateness
from alula.gateware.matrix.multiplier import LANE_BITS


class Chains(Component):
    """A `Chain` for each row and each two tokens.

    A cascade takes a cycle a multiplier, so each multiplier's operands must come a cycle after its
    neighbour's. Rows share activations and tokens share weights: without MUXes they are delayed
    here, once for all chains.

    Args:
        rows (int): Rows of a block in this core.
        tokens (int): Activation rows of a pass, even.
        target (str), sparse (bool): See `Chain`.

    Members:
        activations (In(tokens x 16 x 8), signed), weights (In(rows x 16 x 8), signed)
        pruned (In(1)), index (In(rows x 16 x 4)), cuts (In(8)): See `Chain`; only if ``sparse``.
        total (Out(rows x tokens x 20), signed): Dot products, `chain.LATENCY` cycles later.
        sums (Out(rows x tokens x 8 x 18), signed): See `Chain`; only if ``sparse``.
    """

    def __init__(
        self, *, rows: int, tokens: int, target: Target = "portable", sparse: bool = False
    ) -> None:
        self.rows, self.tokens = rows, tokens
        self.target: Target = target
        self.sparse = bool(sparse)
        block = data.ArrayLayout(signed(8), BLOCK)
        members: dict[str, Member] = {
            "activations": In(data.ArrayLayout(block, tokens)),
            "weights": In(data.ArrayLayout(block, rows)),
            "total": Out(self._grid(signed(TOTAL_BITS))),
        }
        if self.sparse:
            members |= {
                "pruned": In(1),
                "index": In(data.ArrayLayout(data.ArrayLayout(4, BLOCK), rows)),
                "cuts": In(GROUPS),
                "sums": Out(self._grid(data.ArrayLayout(signed(LANE_BITS), GROUPS))),
            }
        super().__init__(members)

    def _grid(self, shape: object) -> data.ArrayLayout:
        """One of each row and token."""
        return data.ArrayLayout(data.ArrayLayout(shape, self.tokens), self.rows)

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        skewed = self.target != "portable" and not self.sparse
        activations, weights = (
            [self._skewed(m, f"{name}_{i}", one) if skewed else one for i, one in enumerate(port)]
            for name, port in (("activation", self.activations), ("weight", self.weights))
        )
        for row in range(self.rows):
            for first in range(0, self.tokens, TOKENS):
                chain = Chain(target=self.target, sparse=self.sparse, skewed=skewed)
                m.submodules[f"chain_{row}_{first}"] = shared(chain)
                m.d.comb += [
                    chain.weights.eq(weights[row]),
                    chain.activations.eq(Cat(activations[first : first + TOKENS])),
                ]
                if self.sparse:
                    m.d.comb += [
                        chain.index.eq(self.index[row]),
                        chain.pruned.eq(self.pruned),
                        chain.cuts.eq(self.cuts),
                    ]
                for lane in range(TOKENS):
                    m.d.comb += self.total[row][first + lane].eq(chain.total[lane])
                    if self.sparse:
                        sums = Cat(group[lane] for group in chain.sums)
                        m.d.comb += self.sums[row][first + lane].eq(sums)
        return m

    def _skewed(self, m: Module, name: str, block: data.View) -> Value:
        """Each value as late as its multiplier takes it."""
        return Cat(
            delayed(m, block[i], lateness(i), name=f"{name}_{i}", reset_less=True)[-1]
            for i in range(BLOCK)
        )
