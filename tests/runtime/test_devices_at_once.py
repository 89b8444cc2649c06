"""Devices that work at once: keys and values on their way, pipelines, failures and limits."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from alula.runtime.courier import Courier
from alula.runtime.errors import DeviceError
from alula.runtime.executor import Executor
from alula.runtime.pipeline import run_stages
from alula.runtime.split import Segment, Target, parse_split
from alula.runtime.worker import PROMPT_STEP, KvRows, Output, Work

LONG = 20.0
"""Seconds after which something that must happen has not."""
UNITS = ("embed", "layers.0", "layers.1", "head")
A, B = Target("torch-int", "a"), Target("torch-int", "b")


class Scripted:
    """A worker that says what it does, and does what a test wants in between.

    Attributes:
        held: tokens held of each layer.
    """

    shared = True

    def __init__(self, name: str, log: list[str], on: Callable[[str], None]) -> None:
        self.name, self.log, self.on = name, log, on
        self.held: dict[int, int] = {}

    def say(self, what: str) -> None:
        self.log.append(f"{self.name} {what}")
        self.on(f"{self.name} {what}")

    def run(self, segment: Segment, work: Work) -> Output:
        for layer in segment.layers:
            assert self.held.get(layer, 0) >= work.position
            self.held[layer] = work.position + len(work.source)
            self.say(f"{work.phase} {layer}")
            work.on_layer(layer)
        if segment.head:
            return Output(token=work.position + len(work.source))
        return Output(hidden=np.zeros((len(work.source), 4), np.float32))

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        self.say(f"reads {layer} {start}-{stop}")
        assert self.held[layer] >= stop
        rows = np.zeros((stop - start, 1, 2), np.int8)
        return KvRows(rows, rows[..., 0].astype(np.float32), rows, rows[..., 0].astype(np.float32))

    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        assert self.held.get(layer, 0) >= start
        self.say(f"takes {layer}")
        self.held[layer] = start + len(rows)


def executor(
    text: str,
    log: list[str],
    on: Callable[[str], None] = lambda what: None,
    limit_s: float | None = None,
) -> Executor:
    workers = {target: Scripted(target.device, log, on) for target in (A, B)}
    return Executor(parse_split(text, UNITS), workers, limit_s)


def test_keys_and_values_leave_while_the_next_layer_is_computed() -> None:
    log: list[str] = []
    taken = threading.Event()

    def wait(what: str) -> None:
        if what == "a prefill 1":
            assert taken.wait(LONG), "layer 0 must be on its way while layer 1 is computed"
        if what == "b takes 0":
            taken.set()

    runs = executor("prefill:*=torch:a,*=torch:b", log, wait)
    assert runs.prefill([1, 2, 3], 0).token == 3
    assert runs.forward("decode", [4], 3).token == 4
    assert log.index("b takes 0") < log.index("a reads 1 0-3") < log.index("b decode 0")
    moved = [span for span in runs.recorder.spans if span.kind == "keys and values"]
    assert [(span.name, span.tokens) for span in moved] == [
        ("layers.0 from torch-int:a", 3),
        ("layers.1 from torch-int:a", 3),
    ]


def test_nothing_leaves_where_nothing_is_decoded() -> None:
    log: list[str] = []
    runs = executor("prefill:*=torch:a,*=torch:b", log)
    runs.prefill([1] * (2 * PROMPT_STEP), 0, streams=False)
    assert not any("takes" in line for line in log)


def test_pieces_of_a_prompt_are_on_both_devices_at_once() -> None:
    log: list[str] = []
    ahead = threading.Event()
    count = 0

    def wait(what: str) -> None:
        nonlocal count
        if what == "a prefill 0":
            count += 1
            if count == 2:
                ahead.set()
        if what == "b prefill 1":
            assert ahead.wait(LONG), "a must be at the second piece while b is at the first"

    done: list[int] = []
    text = "embed=torch:a,layers.0=torch:a,*=torch:b"
    runs = executor(text, log, wait)
    output = runs.prefill([1] * (2 * PROMPT_STEP + 5), 0, done=done.append)
    assert output.token == 2 * PROMPT_STEP + 5
    assert done == [PROMPT_STEP, 2 * PROMPT_STEP]


def test_a_failure_ends_a_prompt_and_leaves_the_rest_usable() -> None:
    log: list[str] = []
    broken = True

    def fail(what: str) -> None:
        if what == "b prefill 1" and broken:
            raise RuntimeError("link\nis down")

    text = "embed=torch:a,layers.0=torch:a,*=torch:b"
    runs = executor(text, log, fail)
    with pytest.raises(DeviceError, match=r"^layers.1, head on torch-int:b failed: link is down$"):
        runs.prefill([1] * (9 * PROMPT_STEP), 0)
    assert log.count("a prefill 0") < 9
    broken = False
    assert runs.prefill([1] * (2 * PROMPT_STEP), 0).token == 2 * PROMPT_STEP


def test_a_delivery_that_fails_is_told_and_made_again() -> None:
    log: list[str] = []
    broken = True

    def fail(what: str) -> None:
        if what == "b takes 1" and broken:
            raise RuntimeError("no room")

    runs = executor("prefill:*=torch:a,*=torch:b", log, fail)
    runs.prefill([1, 2, 3], 0)
    words = r"^writing keys and values of layers.1 on torch-int:b failed: no room$"
    with pytest.raises(DeviceError, match=words):
        runs.forward("decode", [4], 3)
    broken = False
    assert runs.forward("decode", [4], 3).token == 4


def test_what_takes_too_long_is_told_with_its_units() -> None:
    log: list[str] = []
    release = threading.Event()

    def hang(what: str) -> None:
        if what == "a prefill 0":
            assert release.wait(LONG)

    runs = executor("*=torch:a", log, hang, limit_s=0.2)
    units = "embed, layers.0-1, head"
    with pytest.raises(DeviceError, match=f"^{units} on torch-int:a failed: not done after 0.2 s$"):
        runs.forward("prefill", [1, 2], 0)
    words = f"^torch-int:a must be done with {units}, which timed out, not still be at it$"
    with pytest.raises(DeviceError, match=words):
        runs.forward("prefill", [1, 2], 0)
    release.set()
    end = time.monotonic() + LONG
    while True:
        try:
            assert runs.forward("prefill", [1, 2], 0).token == 2
            break
        except DeviceError:
            assert time.monotonic() < end


def test_a_courier_has_room_for_so_many_deliveries() -> None:
    courier, gate, made = Courier(2), threading.Event(), list[int]()

    def deliver(number: int) -> None:
        gate.wait(LONG)
        made.append(number)

    def send_all() -> None:
        for number in range(5):
            courier.send(lambda number=number: deliver(number))
            sent.append(number)

    sent: list[int] = []
    sender = threading.Thread(target=send_all, daemon=True)
    sender.start()
    sender.join(0.3)
    # One is being made, two wait, and the next has no room.
    assert len(sent) <= 3
    gate.set()
    sender.join(LONG)
    assert courier.settle() is None
    assert made == [0, 1, 2, 3, 4]


def test_stages_keep_the_order_of_items() -> None:
    stages = [lambda item: item + 1, lambda item: item * 10]
    assert list(run_stages(stages, range(50), 2)) == [(item + 1) * 10 for item in range(50)]


def test_stages_that_nobody_waits_for_end() -> None:
    before = threading.active_count()
    running = run_stages([lambda item: item] * 3, range(1000), 2)
    assert next(running) == 0
    running.close()
    assert threading.active_count() == before
