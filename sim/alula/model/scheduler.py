"""One run: the sequencer dispatches, the engines execute when their tokens and the stream allow.

Engines meet only through tokens and the stream, so the order in which ready instructions execute
cannot be seen by a program that synchronises what it shares. The order here is the program's
wherever it can be; a `shuffle` takes any order that the queues allow, which shows what a program
forgot to synchronise.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from alula.isa import Engine, Op, Program, format_op
from alula.isa.fields import REGISTER_MASK
from alula.isa.instructions import QUEUE_DEPTH, TOKEN_LIMIT
from alula.model.errors import Deadlock, MachineError, UndefinedBehaviour, place_text
from alula.model.prepared import ENGINES, PreparedOp
from alula.model.sequencer import Sequencer
from alula.model.state import State

_SYS = int(Engine.SYS)
_LD = int(Engine.LD)


class Retired(NamedTuple):
    """An instruction that is done: its address, its fields resolved, the loops around it.

    `result`: what SYS has put into the register that it names.
    """

    address: int
    op: Op
    values: Mapping[str, Any]
    iterations: tuple[int, ...]
    origin: str
    result: int = 0


class _Place(NamedTuple):
    """Iterations of the loops around an instruction, and the layer that it belongs to."""

    iterations: tuple[int, ...]
    layer: int | None


class _Pending(NamedTuple):
    step: PreparedOp
    values: list[Any]
    place: _Place


class Scheduler:
    """Runs prepared steps on a state."""

    def __init__(
        self,
        state: State,
        program: Program,
        steps: Sequence[PreparedOp],
        sequencer: Sequencer,
        first_layer: int,
        watchdog: int,
        on_retire: Callable[[Retired], None] | None = None,
        shuffle: Random | None = None,
    ) -> None:
        self._state, self._stream = state, state.stream
        self._program, self._steps = program, steps
        self._sequencer, self._first_layer = sequencer, first_layer
        self._watchdog, self._on_retire, self._shuffle = watchdog, on_retire, shuffle
        self._tokens = [0] * (ENGINES * ENGINES)
        self._queues: list[deque[_Pending]] = [deque() for _ in Engine]
        self._queued = 0
        self._pushing: _Pending | None = None
        self._active: tuple[PreparedOp, _Place | None] | None = None
        self.counts = [0] * ENGINES
        """Instructions executed by each engine."""

    def run(self) -> None:
        """Go to END."""
        try:
            self._run()
        except MachineError as error:
            if self._active and not isinstance(error, Deadlock):
                step, place = self._active
                place = place or self._place()
                error.at(
                    format_op(step.op), step.address, place.iterations, self._origin(step, place)
                )
            raise

    def _run(self) -> None:
        sequencer, steps, queues = self._sequencer, self._steps, self._queues
        registers, loops = sequencer.registers, sequencer.loops
        length, left = len(steps), self._watchdog
        counts, watched, shuffled = self.counts, self._on_retire is not None, bool(self._shuffle)
        while not sequencer.ended:
            pc = sequencer.pc
            if pc >= length:
                raise UndefinedBehaviour(f"code must reach END, not run past address {length - 1}")
            if not left:
                raise Deadlock(
                    f"run must end within {self._watchdog} instructions, not go on "
                    f"({self._describe(steps[pc], self._place())})"
                )
            left -= 1
            step = steps[pc]
            values = step.values
            if step.refs:
                values = values.copy()
                for index, register, offset in step.refs:
                    values[index] = registers[register] + offset & REGISTER_MASK
            if step.plain and not watched:
                sequencer.pc = pc + 1
                self._active = step, None
                step.handler(sequencer, *values)
                counts[_SYS] += 1
            elif step.engine == _SYS:
                self._system(step, values)
            elif (
                shuffled
                or queues[step.engine]
                or (self._pushing is not None and step.engine == _LD)
                or not self._try(step, values, None)
            ):
                self._enqueue(step, values)
                sequencer.pc = pc + 1
            else:
                sequencer.pc = pc + 1
                if self._queued:
                    self._settle()
            if loops and sequencer.pc == loops[-1].end:
                sequencer.turn()

    def _system(self, step: PreparedOp, values: list[Any]) -> None:
        sequencer, tokens = self._sequencer, self._tokens
        while not all(tokens[counter] for counter in step.waits):
            if not self._advance():
                raise self._deadlock(step)
        for counter in step.waits:
            tokens[counter] -= 1
        place = self._place() if self._on_retire else None
        self._active = step, place
        sequencer.pc += 1
        step.handler(sequencer, *values)
        self.counts[_SYS] += 1
        if sequencer.ended:
            while self._queued or self._pushing:
                if not self._advance():
                    raise self._deadlock(step)
            self._active = step, place
            if len(self._stream):
                raise UndefinedBehaviour(
                    f"END must find the weight stream empty, not with {len(self._stream)} matrices"
                )
        self._signal(step, values, place)
        if self._queued and self._shuffle is None:
            self._settle()

    def _enqueue(self, step: PreparedOp, values: list[Any]) -> None:
        queue = self._queues[step.engine]
        while len(queue) == QUEUE_DEPTH:
            if not self._advance():
                raise self._deadlock(step)
        queue.append(_Pending(step, values, self._place()))
        self._queued += 1
        if self._shuffle is not None:
            while self._shuffle.random() < 0.5 and self._advance():
                pass

    def _settle(self) -> None:
        """Execute until nothing is ready."""
        while self._queued and self._advance():
            pass

    def _advance(self) -> bool:
        """Execute one queued instruction; False if none is ready."""
        order = list(range(ENGINES))
        if self._shuffle is not None:
            self._shuffle.shuffle(order)
        for engine in order:
            queue = self._queues[engine]
            if not queue or (engine == _LD and self._pushing is not None):
                continue
            head = queue[0]
            if self._try(*head):
                queue.popleft()
                self._queued -= 1
                return True
        return False

    def _try(self, step: PreparedOp, values: list[Any], place: _Place | None) -> bool:
        """Execute an instruction at the head of its engine if it is ready."""
        tokens = self._tokens
        for counter in step.waits:
            if not tokens[counter]:
                return False
        if step.takes and self._stream.head != step.engine:
            return False
        for counter in step.waits:
            tokens[counter] -= 1
        if place is None and self._on_retire is not None:
            place = self._place()
        self._active = step, place
        step.handler(self._state, *values)
        self.counts[step.engine] += 1
        if step.pushes and self._stream.used > self._stream.capacity:
            self._pushing = _Pending(step, values, place or self._place())
            return True
        if step.signals or self._on_retire is not None:
            self._signal(step, values, place)
        if step.takes and self._pushing and self._stream.used <= self._stream.capacity:
            pushing, self._pushing = self._pushing, None
            self._signal(*pushing)
        return True

    def _signal(self, step: PreparedOp, values: list[Any], place: _Place | None) -> None:
        """An instruction is done."""
        for counter in step.signals:
            self._tokens[counter] += 1
            if self._tokens[counter] > TOKEN_LIMIT:
                names = Engine(counter // ENGINES).name, Engine(counter % ENGINES).name
                raise UndefinedBehaviour(
                    f"tokens from {names[0]} to {names[1]} must be at most {TOKEN_LIMIT}, "
                    f"not {TOKEN_LIMIT + 1}"
                )
        if self._on_retire is not None:
            place = place or self._place()
            names = (field.name for field in step.op.instruction.fields)
            resolved = dict(zip(names, values, strict=True))
            origin = self._origin(step, place)
            result = self._sequencer.registers[resolved.get("rd", 0)]
            self._on_retire(
                Retired(step.address, step.op, resolved, place.iterations, origin, result)
            )

    # Where an instruction is, in words

    def _place(self) -> _Place:
        loops, marked = self._sequencer.loops, self._program.layer_loops
        layer = next(
            (
                max(self._first_layer, marked[loop.address]) + loop.done
                for loop in loops
                if loop.address in marked
            ),
            None,
        )
        return _Place(tuple(loop.done for loop in loops), layer)

    def _origin(self, step: PreparedOp, place: _Place) -> str:
        origins = self._program.origins
        text = origins[step.address] if step.address < len(origins) else ""
        if place.layer is not None:
            layer, before = place.layer, max(place.layer - 1, 0)
            text = text.replace("{layer}", str(layer)).replace("{layer-1}", str(before))
        return text

    def _describe(self, step: PreparedOp, place: _Place) -> str:
        where = place_text(step.address, place.iterations, self._origin(step, place))
        return f"{where}: {format_op(step.op)}"

    def _deadlock(self, step: PreparedOp) -> Deadlock:
        """The wait-for graph, the sequencer's `step` first."""
        waits = [f"SYS waits for {self._sys_reasons(step)} ({self._describe(step, self._place())})"]
        if self._pushing is not None:
            taker = Engine(self._stream.head).name
            text = self._describe(self._pushing.step, self._pushing.place)
            waits.append(f"LD waits for {taker} to make room in the stream ({text})")
        for engine, queue in enumerate(self._queues):
            if queue and not (engine == _LD and self._pushing is not None):
                reasons = self._reasons(queue[0].step)
                text = self._describe(queue[0].step, queue[0].place)
                waits.append(f"{Engine(engine).name} waits for {reasons} ({text})")
        return Deadlock(f"something must be able to go on, not wait: {'; '.join(waits)}")

    def _sys_reasons(self, step: PreparedOp) -> str:
        if self._sequencer.ended:
            busy = [engine.name for engine in Engine if self._queues[engine]]
            if self._pushing is not None and "LD" not in busy:
                busy.append("LD")
            return f"{' and '.join(busy)} to finish"
        if step.engine != _SYS:
            return f"room in the queue of {Engine(step.engine).name}"
        return self._reasons(step)

    def _reasons(self, step: PreparedOp) -> str:
        missing = [
            Engine(counter // ENGINES).name for counter in step.waits if not self._tokens[counter]
        ]
        reasons = [f"a token from {name}" for name in missing]
        if step.takes and self._stream.head != step.engine:
            if self._stream.head < 0:
                reasons.append("LD to fill the stream")
            else:
                reasons.append(f"{Engine(self._stream.head).name} to take the head of the stream")
        return " and ".join(reasons)
