"""When a driver offers and when a monitor accepts, cycle by cycle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Pattern:
    """A named sequence of go and wait; `start` gives a fresh one, without end."""

    name: str
    start: Callable[[Random], Iterator[bool]]

    def __str__(self) -> str:
        return self.name


def random_pattern(probability: float) -> Pattern:
    """Return a pattern that goes in each cycle with a probability, above 0 and at most 1."""
    if not 0 < probability <= 1:
        raise ValueError(f"probability must be above 0 and at most 1, not {probability}")

    def start(random: Random) -> Iterator[bool]:
        while True:
            yield random.random() < probability

    return Pattern(f"random{round(100 * probability)}", start)


def _always(random: Random) -> Iterator[bool]:
    while True:
        yield True


def _alternate(random: Random) -> Iterator[bool]:
    while True:
        yield True
        yield False


def _bursts(random: Random) -> Iterator[bool]:
    while True:
        for _ in range(random.randint(1, 24)):
            yield True
        for _ in range(random.randint(1, 24)):
            yield False


ALWAYS = Pattern("always", _always)
ALTERNATE = Pattern("alternate", _alternate)
BURSTS = Pattern("bursts", _bursts)
PATTERNS = (ALWAYS, ALTERNATE, BURSTS, random_pattern(0.5))
"""What idle and back-pressure are crossed over."""
