"""The order of a product: row blocks, passes of T rows, groups, halves."""

from amaranth.hdl import Module, ShapeLike, Signal, Value
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

BLOCK_BITS = 20
GROUP_BITS = 14
PASS_BITS = 16
STEP_FLAGS = ("half", "first", "last", "first_pass", "last_pass", "first_block", "last_block")
"""The place of a step in its product."""


def command_layout(tag: ShapeLike) -> data.StructLayout:
    """A product: counts, at least 1 each, and a tag that comes back with every step."""
    return data.StructLayout(
        {"blocks": BLOCK_BITS, "passes": PASS_BITS, "groups": GROUP_BITS, "tag": tag}
    )


def step_layout(tag: ShapeLike) -> data.StructLayout:
    """One half group of a pass: its place in the product."""
    return data.StructLayout({**dict.fromkeys(STEP_FLAGS, 1), "tag": tag})


class Steps(Component):
    """Counts through products, a step each cycle, without a pause between products.

    Counters count down; whether a step is the last of its group, pass or row block is known a cycle
    before and kept in registers.

    Args:
        tag (ShapeLike): What a command carries to its steps.

    Members:
        command (In stream of `command_layout`): One is taken ahead.
        step (Out stream of `step_layout`): ``half``: the second half of a group; ``first``: in a
            pass's first group; ``last``: the last step of a pass. The first step follows a command
            after two cycles. All registers.
    """

    def __init__(self, *, tag: ShapeLike) -> None:
        self.tag = tag
        super().__init__(
            {
                "command": In(stream.Signature(command_layout(tag))),
                "step": Out(stream.Signature(step_layout(tag))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Make the module."""
        m = Module()
        layout = command_layout(self.tag)
        waiting, now = (Signal(layout, name=n, reset_less=True) for n in ("waiting", "now"))
        has_next, moves, loads = Signal(), Signal(), Signal()
        step = self.step.payload
        group_over, pass_over, block_over = Signal(), Signal(), Signal()
        # What is loaded is chosen by registers; that a step moves comes late. `final`: no step of
        # the product follows, so nothing but the tag is needed of it.
        final, fresh, tag = Signal(), Signal(), Signal(self.tag, reset_less=True)
        m.d.comb += [
            moves.eq(self.step.valid & self.step.ready),
            group_over.eq(moves & step.half),
            fresh.eq(~self.step.valid | final),
            loads.eq(~self.step.valid | (moves & fresh)),
            self.command.ready.eq(~has_next),
            step.tag.eq(tag),
        ]
        with m.If(moves):
            m.d.sync += step.half.eq(~step.half)
        last_group = self._count(m, "groups", fresh, waiting, now, group_over, step.first)
        m.d.comb += pass_over.eq(group_over & last_group)
        last_pass = self._count(m, "passes", fresh, waiting, now, pass_over, step.first_pass)
        m.d.comb += [block_over.eq(pass_over & last_pass), step.last_pass.eq(last_pass)]
        last_block = self._count(m, "blocks", fresh, waiting, now, block_over, step.first_block)
        m.d.comb += [step.last.eq(step.half & last_group), step.last_block.eq(last_block)]
        with m.If(moves):
            m.d.sync += final.eq(~step.half & last_group & last_pass & last_block)

        with m.If(loads):
            m.d.sync += [self.step.valid.eq(has_next), tag.eq(waiting.tag), has_next.eq(0)]
        with m.If(fresh):
            m.d.sync += now.eq(waiting)
        with m.If(~has_next):
            m.d.sync += [waiting.eq(self.command.payload), has_next.eq(self.command.valid)]
        return m

    def _count(
        self, m: Module, name: str, fresh: Value, waiting: data.View, now: data.View,
        over: Value, first: Value,
    ) -> Signal:  # fmt: skip
        """Count one of the three down to 1 each time that `over` ends one; whether it is the last.

        Where one is `fresh`, the count is that of the next command. `first` follows: set until one
        is over.
        """
        left, last = Signal.like(now[name], name=f"{name}_left"), Signal(name=f"last_of_{name}")
        only = Signal(name=f"only_of_{name}")
        alone = waiting[name] == 1
        with m.If(over | ~self.step.valid):
            with m.If(fresh):
                m.d.sync += [left.eq(waiting[name]), last.eq(alone), only.eq(alone), first.eq(1)]
            with m.Elif(last):
                m.d.sync += [left.eq(now[name]), last.eq(only), first.eq(1)]
            with m.Else():
                m.d.sync += [left.eq(left - 1), last.eq(left == 2), first.eq(0)]
        return last
