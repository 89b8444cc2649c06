"""Two INT8 products that share a factor, with a running sum that can come from a neighbour."""

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Signal, Value, signed
from amaranth.lib.wiring import Component, In, Out

from alula.gateware.arithmetic.dsp48e2 import M, dsp48e2
from alula.gateware.hdl.delay import delayed
from alula.gateware.hdl.target import TARGETS, Target

LATENCY = 4
"""Cycles from operands to `low` and `high`."""
LANE_BITS = 18
"""Bits of a lane: what eight products of -127..127 by -128..127 fit."""


class PackedMultiplier(Component):
    """``low`` sums ``d * b`` and ``high`` sums ``a * b``, in one packed word where the chip can.

    The packed word is ``((a << 18) + d) * b``: the low lane is its lowest 18 bits, the high lane
    what lies above, one too small where the low lane is negative; ``high`` is corrected. Both are
    exact while each lane's sum lies within 18 bits signed: eight products of a factor within
    -127..127.

    Args:
        target (str): ``portable`` for simulation, ``dsp48e2`` (one block, hard cascade) or
            ``mult18x18d`` (two blocks, the lanes are summed in fabric).

    Members:
        a, d (In(8), signed): The factors that share ``b``.
        b (In(8), signed): The shared factor.
        joins (In(1)): Comes with the operands: ``cascade_in`` is part of the sum.
        cascade_in (In(48)): A neighbour's ``cascade_out``; used one cycle before the sum is out.
        cascade_out (Out(48)): The running sum for the next neighbour, at the same time as ``low``
            and ``high``.
        low, high (Out(18), signed): The sums, `LATENCY` cycles after the operands.

    No handshake: operands are taken every cycle.
    """

    def __init__(self, *, target: Target = "portable") -> None:
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
        self.target = target
        super().__init__(
            {
                "a": In(signed(8)),
                "d": In(signed(8)),
                "b": In(signed(8)),
                "joins": In(1),
                "cascade_in": In(48),
                "cascade_out": Out(48),
                "low": Out(signed(LANE_BITS)),
                "high": Out(signed(LANE_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        if self.target == "mult18x18d":
            self._two_blocks(m)
            return m
        total = Signal(signed(48))
        if self.target == "dsp48e2":
            self._one_block(m, total)
        else:
            self._portable(m, total)
        high, carry = total[LANE_BITS : 2 * LANE_BITS], total[LANE_BITS - 1]
        m.d.comb += [
            self.low.eq(total[:LANE_BITS]),
            # Longer by a bit whose sum carries: a carry chain without look-up tables.
            self.high.eq((Cat(carry, high) + Cat(carry, Const(0, LANE_BITS)))[1:]),
        ]
        return m

    def _joins(self, m: Module, cycles: int) -> Value:
        """Return `joins` that many cycles later."""
        return delayed(m, self.joins, cycles, name="joins", reset_less=True)[-1]

    def _portable(self, m: Module, total: Signal) -> None:
        a, d, b, b_again = (Signal(signed(8), reset_less=True) for _ in range(4))
        packed = Signal(signed(27), reset_less=True)
        product = Signal(signed(45), reset_less=True)
        m.d.sync += [
            Cat(a, d, b).eq(Cat(self.a, self.d, self.b)),
            packed.eq((a << LANE_BITS) + d),
            b_again.eq(b),
            product.eq(packed * b_again),
            total.eq(product),
        ]
        m.d.comb += self.cascade_out.eq(total)
        with m.If(self._joins(m, LATENCY - 1)):
            m.d.sync += total.eq(product + self.cascade_in.as_signed())

    def _one_block(self, m: Module, total: Signal) -> None:
        """Pre-adder, multiplier and post-adder, every register of the block in use."""
        upper = Signal(signed(27))
        joins = self._joins(m, 2)
        m.d.comb += upper.eq(self.a << LANE_BITS)
        m.submodules.dsp = dsp48e2(
            Cat(Const(M, 4), joins, Const(0, 4)),  # and PCIN
            inputs={"A": upper, "D": self.d, "B": self.b, "PCIN": self.cascade_in},
            outputs={"P": total, "PCOUT": self.cascade_out},
            registers={"BREG": 2, "OPMODEREG": 1},
            pre_adder=True,
        )

    def _two_blocks(self, m: Module) -> None:
        joins = self._joins(m, LATENCY - 1)
        lanes = []
        for index, (name, operand) in enumerate((("d", self.d), ("a", self.a))):
            product = Signal(signed(36), name=f"product_{name}")
            extended = {
                port: Signal(signed(18), name=f"{name}_{port.lower()}") for port in ("A", "B")
            }
            m.d.comb += [extended["A"].eq(operand), extended["B"].eq(self.b)]
            wires = {
                f"i_{port}{bit}": value[bit]
                for port, value in extended.items()
                for bit in range(18)
            }
            wires |= {f"o_P{bit}": product[bit] for bit in range(36)}
            for number in range(4):
                wires[f"i_CLK{number}"] = ClockSignal() if number == 0 else Const(0)
                wires[f"i_CE{number}"] = Const(int(number == 0))
                wires[f"i_RST{number}"] = Const(0)
            clocks = {
                f"p_REG_{part}_CLK": "CLK0" for part in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")
            }
            m.submodules[f"dsp_{name}"] = Instance(
                "MULT18X18D",
                **clocks,
                **wires,
                i_SIGNEDA=Const(1),
                i_SIGNEDB=Const(1),
                i_SOURCEA=Const(0),
                i_SOURCEB=Const(0),
            )
            lane = Signal(signed(LANE_BITS), name=f"lane_{name}", reset_less=True)
            incoming = self.cascade_in.word_select(index, LANE_BITS).as_signed()
            m.d.sync += lane.eq(product)
            with m.If(joins):
                m.d.sync += lane.eq(product + incoming)
            lanes.append(lane)
        m.d.comb += [
            self.cascade_out.eq(Cat(*lanes)),
            self.low.eq(lanes[0]),
            self.high.eq(lanes[1]),
        ]
