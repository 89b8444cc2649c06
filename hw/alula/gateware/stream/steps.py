"""The order of a product: row blocks, passes of T rows, groups, halves."""

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import data, stream
from amaranth.lib.wiring import Component, In, Out

__all__ = ["BLOCK_BITS", "GROUP_BITS", "PASS_BITS", "Steps", "command_layout", "step_layout"]

BLOCK_BITS = 20
GROUP_BITS = 14
PASS_BITS = 16


def command_layout(tag: ShapeLike) -> data.StructLayout:
    """A product: counts, at least 1 each, and a tag that comes back with every step."""
    return data.StructLayout(
        {"blocks": BLOCK_BITS, "passes": PASS_BITS, "groups": GROUP_BITS, "tag": tag}
    )


def step_layout(tag: ShapeLike) -> data.StructLayout:
    """One half group of a pass: where in the product it stands."""
    flags = ("half", "first", "last", "first_pass", "last_pass", "first_block", "last_block")
    return data.StructLayout({**dict.fromkeys(flags, 1), "tag": tag})


class Steps(Component):
    """Counts through products, a step each cycle, without a pause between products.

    Args:
        tag (ShapeLike): What a command carries to its steps.

    Members:
        command (In stream of `command_layout`): One is taken ahead.
        step (Out stream of `step_layout`): ``half``: the second half of a group; ``first``: in a
            pass's first group; ``last``: the last step of a pass. The first step follows a command
            after two cycles.
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
        waiting, now = Signal(layout), Signal(layout)
        has_next, active = Signal(), Signal()
        half = Signal()
        group, pass_, block = Signal(GROUP_BITS), Signal(PASS_BITS), Signal(BLOCK_BITS)
        last_group, last_pass, last_block = Signal(), Signal(), Signal()
        step = self.step.payload
        m.d.comb += [
            last_group.eq(group == now.groups - 1),
            last_pass.eq(pass_ == now.passes - 1),
            last_block.eq(block == now.blocks - 1),
            self.step.valid.eq(active),
            step.half.eq(half),
            step.first.eq(group == 0),
            step.last.eq(half & last_group),
            step.first_pass.eq(pass_ == 0),
            step.last_pass.eq(last_pass),
            step.first_block.eq(block == 0),
            step.last_block.eq(last_block),
            step.tag.eq(now.tag),
        ]
        ends = Signal()
        with m.If(active & self.step.ready):
            m.d.sync += half.eq(~half)
            with m.If(half):
                m.d.sync += group.eq(group + 1)
                with m.If(last_group):
                    m.d.sync += [group.eq(0), pass_.eq(pass_ + 1)]
                    with m.If(last_pass):
                        m.d.sync += [pass_.eq(0), block.eq(block + 1)]
                        with m.If(last_block):
                            m.d.sync += block.eq(0)
                            m.d.comb += ends.eq(1)
        with m.If(ends | ~active):
            m.d.sync += [active.eq(has_next), now.eq(waiting), has_next.eq(0)]
        m.d.comb += self.command.ready.eq(~has_next)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [waiting.eq(self.command.payload), has_next.eq(1)]
        return m
