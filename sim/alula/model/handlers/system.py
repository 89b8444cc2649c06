"""SYS: what the sequencer does itself."""

from alula.model.handlers.registry import executes
from alula.model.sequencer import Sequencer


@executes("NOP")
@executes("LD.SYNC")
@executes("ST.SYNC")
@executes("MM.SYNC")
@executes("MV.SYNC")
@executes("MISC.SYNC")
def _(_: object) -> None:
    """Tokens only."""


@executes("LOOP")
def _(sequencer: Sequencer, count: int, body: int) -> None:
    sequencer.loop(count, body)


@executes("LI")
def _(sequencer: Sequencer, rd: int, value: int) -> None:
    sequencer.set(rd, value)


@executes("SADD")
def _(sequencer: Sequencer, rd: int, a: int, b: int) -> None:
    sequencer.set(rd, a + b)


@executes("SSUB")
def _(sequencer: Sequencer, rd: int, a: int, b: int) -> None:
    sequencer.set(rd, a - b)


@executes("SMUL")
def _(sequencer: Sequencer, rd: int, a: int, b: int) -> None:
    sequencer.set(rd, a * b)


@executes("SDIV")
def _(sequencer: Sequencer, rd: int, a: int, b: int) -> None:
    sequencer.set(rd, a // b)


@executes("SMIN")
def _(sequencer: Sequencer, rd: int, a: int, b: int) -> None:
    sequencer.set(rd, min(a, b))


@executes("ARG")
def _(sequencer: Sequencer, rd: int) -> None:
    sequencer.set(rd, max(sequencer.state.best_index, 0))


@executes("END")
def _(sequencer: Sequencer) -> None:
    sequencer.ended = True
