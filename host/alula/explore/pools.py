"""Where points are worked on: in this process, in others of this machine, or on many machines."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from alula.explore.workers import Lost, Workers
from alula.libraries import needed

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE_S = 10
"""How long a scheduler may take to answer."""


class PoolError(ValueError):
    """A scheduler that cannot be reached. Its text is one line."""


class Pool(Protocol):
    """Calls a function with items, `count` at once."""

    count: int

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Yield number and result of each item as it comes."""
        ...


class Here:
    """This process, one item after the other."""

    count = 1

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Yield number and result of each item, in order."""
        for number, item in enumerate(items):
            yield number, function(item)


class Cluster:
    """The workers of a Dask scheduler. One that dies gives its items to the others.

    Args:
        client: of the scheduler.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self.count = max(1, sum(client.nthreads().values()))

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Yield number and result of each item as it comes."""
        distributed = needed("distributed", "distributed")
        futures = {
            self._client.submit(function, item, pure=False): number
            for number, item in enumerate(items)
        }
        for future in distributed.as_completed(list(futures)):
            number = futures.pop(future)
            try:
                yield number, future.result()
            except distributed.KilledWorker:
                yield number, Lost("its workers were killed, one after the other")


@contextmanager
def opened(processes: int, scheduler: str | None = None) -> Iterator[Pool]:
    """Give a pool, whose processes end with the block.

    Args:
        processes: of this machine; 0: this process alone.
        scheduler: address of a Dask scheduler instead, such as tcp://node1:8786.

    Raises:
        MissingLibrary: distributed is not installed.
        PoolError: nothing answers at the address.
    """
    if scheduler is not None:
        client = _client(scheduler)
        try:
            yield Cluster(client)
        finally:
            client.close()
    elif processes == 0:
        yield Here()
    else:
        with Workers(processes) as workers:
            yield workers


def _client(scheduler: str) -> Any:
    distributed = needed("distributed", "distributed")
    try:
        return distributed.Client(scheduler, timeout=_PATIENCE_S)
    except (OSError, ValueError, TimeoutError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PoolError(
            f"--scheduler must be the address of a Dask scheduler, not {scheduler}: {reason}"
        ) from None
