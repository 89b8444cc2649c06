"""What can go wrong in a run, sorted by whose turn it is to act."""


class MachineError(Exception):
    """A run that cannot go on. Prints in one line.

    `fault` says what must be what; the rest places it: the instruction's text, its address, the
    iteration of each loop around it (outermost first) and the unit of the model that it serves.
    All of these are empty or None where no instruction is to blame.
    """

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault
        self.instruction = ""
        self.address: int | None = None
        self.iterations: tuple[int, ...] = ()
        self.origin = ""

    def at(self, instruction: str, address: int, iterations: tuple[int, ...], origin: str) -> None:
        """Name the place; the first one named stays."""
        if self.address is None:
            self.instruction, self.address = instruction, address
            self.iterations, self.origin = iterations, origin

    def __str__(self) -> str:
        if self.address is None:
            return self.fault
        place = place_text(self.address, self.iterations, self.origin)
        return f"{self.fault} ({place}: {self.instruction})"


class UndefinedBehaviour(MachineError):
    """The contract gives this no meaning: the program is wrong."""


class Unsupported(MachineError):
    """The contract names this and excludes it."""


class Unimplemented(MachineError):
    """The contract allows this; this release lacks it."""


class OutOfRange(MachineError):
    """An address or a size beyond what the design has."""


class Deadlock(MachineError):
    """Something is pending and nothing can move, or a run has no end."""


def place_text(address: int, iterations: tuple[int, ...], origin: str) -> str:
    """`address 12, loop 3/0, layers.3.mlp`."""
    text = f"address {address}"
    if iterations:
        text += f", loop {'/'.join(map(str, iterations))}"
    return f"{text}, {origin}" if origin else text
