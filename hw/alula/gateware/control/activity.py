"""What an engine does in a cycle, in four words that exclude each other."""

from amaranth.lib import enum


class Activity(enum.Enum, shape=2):
    """What an engine does in a cycle; each is in exactly one state.

    BUSY: it works; also where all that is left is what its pipeline takes.
    STARVED: its next instruction waits for a token, or (MM, MV) for the weight stream to come to
        it; or the one at work waits for what it reads: LD for memory, ST for the vector buffer,
        MM and MV for weights or activations, MISC for the vector buffer. SYS: a token is missing,
        or END waits for the engines.
    BLOCKED: what it has to hand on is not taken: LD's beats or the place for them in the weight
        stream, ST's beats or their acknowledgement, products by the finishing lanes or the vector
        buffer, MISC's words; SYS's instruction by a full queue.
    IDLE: it holds no instruction.
    """

    BUSY = 0
    STARVED = 1
    BLOCKED = 2
    IDLE = 3
