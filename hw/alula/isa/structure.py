"""Whether a program can be run at all: its length, its loops, its END.

The assembler, the machine model and the driver of the gateware all ask here. What depends on
registers shows when a program runs: a loop that is never entered may hold the only END.
"""

from collections.abc import Sequence

from alula.design import Design
from alula.isa.encoding import INSTRUCTION_BYTES, IsaError, Op, Ref
from alula.isa.instructions import LOOP_DEPTH


class MalformedProgram(IsaError):
    """A program that no machine of its design runs.

    Attributes:
        fault: what is wrong.
        address: of the instruction to blame.
    """

    def __init__(self, fault: str, address: int) -> None:
        super().__init__(f"{fault} (address {address})")
        self.fault = fault
        self.address = address


def check_structure(ops: Sequence[Op], design: Design) -> None:
    """Refuse instructions that do not fit the program memory, nest wrongly or never come to END.

    Args:
        ops: the instructions, in canonical form, as decoded.
        design: of the machine that is to run them.

    Raises:
        MalformedProgram: names the first instruction that is to blame.
    """
    words = design.program_bytes // INSTRUCTION_BYTES
    if len(ops) > words:
        raise MalformedProgram(f"code must be at most {words} instructions, not {len(ops)}", words)
    ends: list[int] = []
    """Where the bodies of the loops around an instruction end, the innermost last."""
    skipped, finished = 0, False
    for address, op in enumerate(ops):
        while ends and ends[-1] == address:
            ends.pop()
        if op.name == "LOOP":
            end = _body_end(op, address, ends[-1] if ends else len(ops))
            if end > address + 1:
                if len(ends) == LOOP_DEPTH:
                    depth = f"LOOP depth must be at most {LOOP_DEPTH}, not {LOOP_DEPTH + 1}"
                    raise MalformedProgram(depth, address)
                ends.append(end)
            if op.values["count"] == Ref(0, 0):
                skipped = max(skipped, end)
        elif op.name == "END" and address >= skipped:
            finished = True
    if not finished:
        last = len(ops) - 1
        raise MalformedProgram(f"code must reach END, not run past address {last}", max(last, 0))


def _body_end(loop: Op, address: int, limit: int) -> int:
    """The address behind a loop's body, at most `limit`."""
    body = loop.values["body"]
    assert isinstance(body, int)
    end = address + 1 + body
    if end > limit:
        fault = f"LOOP body must end by address {limit}, not {end}"
        raise MalformedProgram(fault, address)
    return end
