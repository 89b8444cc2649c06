"""Deliveries that are made while others compute: in order, by a thread, out of a bounded queue."""

from collections.abc import Callable
from queue import Queue
from threading import Thread

Delivery = Callable[[], None]


class Courier:
    """Makes deliveries one after the other. After one that failed the rest is dropped.

    Args:
        room: deliveries that may wait.
    """

    def __init__(self, room: int) -> None:
        self._waiting: Queue[Delivery] = Queue(room)
        self._failure: BaseException | None = None
        self._started = False

    def send(self, delivery: Delivery) -> None:
        """Take a delivery; waits as long as there is no room."""
        if not self._started:
            self._started = True
            Thread(target=self._work, daemon=True).start()
        self._waiting.put(delivery)

    def settle(self) -> BaseException | None:
        """Wait until nothing is left, and return what a delivery since then failed with."""
        if not self._started:
            return None
        self._waiting.join()
        failure, self._failure = self._failure, None
        return failure

    def _work(self) -> None:
        while True:
            delivery = self._waiting.get()
            try:
                if self._failure is None:
                    delivery()
            except BaseException as error:
                self._failure = error
            finally:
                del delivery
                self._waiting.task_done()
