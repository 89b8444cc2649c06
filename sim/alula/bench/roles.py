"""The parts of a bench that move data: a driver offers, a monitor accepts, a responder answers.

Each does its part of a cycle in `cycle`, called after every rising edge: what it reads is what the
edge saw, what it writes is for the next one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, Protocol

from alula.bench.scoreboard import Mismatch, shown
from alula.bench.wires import StreamWires


class Role(Protocol):
    """Something that takes part in every cycle. `moved` is true where data passed in the last."""

    moved: bool

    def cycle(self) -> None:
        """Read what the last edge saw; write what the next one shall see."""
        ...


class Driver:
    """Offers items to an input stream, in order, when `go` says so.

    While it offers nothing the payload is random, so that a unit that looks at it is found out. An
    offer holds until it is taken. `sent` counts the items taken.
    """

    def __init__(
        self, wires: StreamWires, items: Iterable[Any], go: Iterator[bool], random: Random
    ) -> None:
        self.items = deque(items)
        self.sent = 0
        self._last: Any = None
        self.moved = False
        self._wires = wires
        self._go = go
        self._random = random
        self._offering = False
        self._quiet = False

    def send(self, item: Any) -> None:
        """Add an item to those to come."""
        self.items.append(item)

    @property
    def idle(self) -> bool:
        """Everything has been taken."""
        return not self.items and not self._offering

    @property
    def given(self) -> str:
        """What the unit got so far, for people."""
        name, offers = self._wires.name, f", then offered {shown(self._last)}"
        return f"{name} took {self.sent} items" + (offers if self._last is not None else "")

    def cycle(self) -> None:
        """Take back what was accepted; make the next offer."""
        self.moved = self._offering and self._wires.ready_now()
        if self.moved:
            self.sent += 1
        elif self._offering:
            return
        self._offering = next(self._go) and bool(self.items)
        if self._offering:
            self._last = self.items.popleft()
            self._wires.offer(self._last)
        elif not self._quiet:
            self._wires.withdraw(self._random)
        self._quiet = not self._offering


class Monitor:
    """Accepts items from an output stream when `go` says so, and hands them to `take`.

    It also holds the stream to its protocol: an offer holds, unchanged, until it is taken. If it is
    `steady` it accepts until something is taken, once it does.
    """

    def __init__(
        self,
        wires: StreamWires,
        take: Callable[[Any], None],
        go: Iterator[bool],
        *,
        steady: bool = False,
    ) -> None:
        self.moved = False
        self._steady = steady
        self._wires = wires
        self._take = take
        self._go = go
        self._accepting = False
        self._waiting: int | None = None

    def cycle(self) -> None:
        """Take what passed; decide on the next cycle."""
        self.moved = False
        valid = self._wires.valid_now()
        bits = self._wires.bits_now() if valid else 0
        if self._waiting is not None:
            name = self._wires.name
            if not valid:
                raise Mismatch(f"{name} must offer until it is taken, not withdraw")
            if bits != self._waiting:
                before, after = self._wires.value(self._waiting), self._wires.value(bits)
                raise Mismatch(
                    f"{name} must hold its payload while it waits: {shown(before)},"
                    f" not {shown(after)}"
                )
        self._waiting = bits if valid and not self._accepting else None
        if valid and self._accepting:
            self.moved = True
            self._take(self._wires.value(bits))
        was, goes = self._accepting, next(self._go)
        self._accepting = goes or (self._steady and was and not self.moved)
        if was != self._accepting:
            self._wires.accept(self._accepting)


class Responder:
    """Answers each item of an output stream with items on an input stream: a memory, for one."""

    def __init__(
        self,
        request: StreamWires,
        reply: StreamWires,
        function: Callable[[Any], Iterable[Any]],
        accept: Iterator[bool],
        offer: Iterator[bool],
        random: Random,
    ) -> None:
        self.moved = False
        self._driver = Driver(reply, (), offer, random)
        self._monitor = Monitor(request, self._answer, accept)
        self._function = function

    @property
    def given(self) -> str:
        """What the unit got so far, for people."""
        return self._driver.given

    def _answer(self, item: Any) -> None:
        for answer in self._function(item):
            self._driver.send(answer)

    def cycle(self) -> None:
        """Let both sides do theirs."""
        self._monitor.cycle()
        self._driver.cycle()
        self.moved = self._monitor.moved or self._driver.moved


class PipelineDriver:
    """Gives a unit without handshake an item when `go` says so, and looks a latency later.

    `look` is called in every cycle with whether a result is due.
    """

    def __init__(
        self,
        apply: Callable[[Any], None],
        disturb: Callable[[Random], None],
        look: Callable[[bool], None],
        items: Iterable[Any],
        latency: int,
        go: Iterator[bool],
        random: Random,
    ) -> None:
        self.moved = False
        self._apply, self._disturb, self._look = apply, disturb, look
        self._items = deque(items)
        self._go = go
        self._random = random
        self.given = ""
        """The item whose result was looked at last, for people."""
        self._count = 0
        # An item written now is seen by the next edge; its result is there `latency` edges later.
        self._due: deque[tuple[Any] | None] = deque([None] * (latency + 1))

    def cycle(self) -> None:
        """Look at what is due; give the next item, or noise."""
        due = self._due.popleft()
        self.moved = due is not None
        if due is not None:
            self.given = f"item {self._count} is {shown(due[0])}"
            self._count += 1
        self._look(self.moved)
        going = next(self._go) and bool(self._items)
        item = self._items.popleft() if going else None
        self._due.append((item,) if going else None)
        if going:
            self._apply(item)
        else:
            self._disturb(self._random)
