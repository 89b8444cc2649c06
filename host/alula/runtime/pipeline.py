"""Stages that work at once, each on an item of its own, with bounded queues in between."""

from collections.abc import Callable, Generator, Sequence
from queue import Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
Stage = Callable[[Item], Item]


class _End:
    """Follows the last item."""


_END = _End()


def run_stages(stages: Sequence[Stage[Item]], items: Sequence[Item], room: int) -> Generator[Item]:
    """Yield each item as the last stage leaves it, in order.

    A stage works on an item while the one before it works on the next. If a stage fails, or the
    caller stops, what is at work is ended and nothing else is begun.

    Args:
        stages: at least one.
        items: what goes through all of them.
        room: items that may wait before a stage.

    Raises:
        Exception: what the first stage that failed raised.
    """
    if len(stages) == 1 or len(items) == 1:
        for item in items:
            for stage in stages:
                item = stage(item)
            yield item
        return
    # The last queue has room for all: a caller who is gone holds nobody up.
    queues: list[Queue[Item | _End]] = [Queue(room) for _ in stages]
    queues.append(Queue())
    stop = Event()
    failures: list[BaseException] = []

    def feed() -> None:
        for item in items:
            if stop.is_set():
                break
            queues[0].put(item)
        queues[0].put(_END)

    def work(stage: Stage[Item], inbox: Queue[Item | _End], outbox: Queue[Item | _End]) -> None:
        while not isinstance(item := inbox.get(), _End):
            if stop.is_set():
                continue
            try:
                outbox.put(stage(item))
            except BaseException as error:
                failures.append(error)
                stop.set()
        outbox.put(_END)

    threads = [Thread(target=feed, daemon=True)]
    for place, stage in enumerate(stages):
        given = stage, queues[place], queues[place + 1]
        threads.append(Thread(target=work, args=given, daemon=True))
    for thread in threads:
        thread.start()
    try:
        while not isinstance(item := queues[-1].get(), _End):
            yield item
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]
