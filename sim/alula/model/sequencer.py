"""The sequencer: registers, loops and the place in the program."""

from alula.isa.fields import REGISTER_MASK, REGISTERS
from alula.model.state import State


class RunningLoop:
    """A loop being run: where its body starts and ends, iterations done and in all."""

    __slots__ = ("address", "count", "done", "end", "start")

    def __init__(self, address: int, count: int, body: int) -> None:
        self.address = address
        self.start, self.end = address + 1, address + 1 + body
        self.count, self.done = count, 0


class Sequencer:
    """Registers and control flow of one run of a program that `check_structure` takes.

    Attributes:
        pc: Address of the next instruction.
        loops: Loops around it, outermost first.
        ended: END has been reached.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.registers = [0] * REGISTERS
        self.pc = 0
        self.loops: list[RunningLoop] = []
        self.ended = False

    def set(self, register: int, value: int) -> None:
        """Write a register, modulo 2^32; register 0 stays zero."""
        if register:
            self.registers[register] = value & REGISTER_MASK

    def loop(self, count: int, body: int) -> None:
        """Repeat the next `body` instructions; called with `pc` at the first of them."""
        if count == 0 or body == 0:
            self.pc += body
            return
        self.loops.append(RunningLoop(self.pc - 1, count, body))

    def turn(self) -> None:
        """Go back, or leave, where `pc` has reached the end of loops."""
        while self.loops and self.pc == self.loops[-1].end:
            loop = self.loops[-1]
            loop.done += 1
            if loop.done < loop.count:
                self.pc = loop.start
                return
            self.loops.pop()
