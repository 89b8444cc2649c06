"""A random program before its tokens are known: pieces that can be left out, and loops."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from alula.codegen.schedule import Loop, ScheduledOp, schedule
from alula.design import Design
from alula.isa import Op, Program, encode_all
from alula.isa.encoding import Value


@dataclass(frozen=True)
class Piece:
    """One instruction with the resources that it touches; a group's come and go together."""

    group: int
    name: str
    values: Mapping[str, Value]
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Repeat:
    """A loop."""

    group: int
    count: Value
    body: "Text"


Text = tuple[Piece | Repeat, ...]


def groups(text: Text) -> Iterator[int]:
    """Every group of a text, each once, in order."""
    return iter(dict.fromkeys(_groups(text)))


def _groups(text: Text) -> Iterator[int]:
    for item in text:
        yield item.group
        if isinstance(item, Repeat):
            yield from _groups(item.body)


def without(text: Text, dropped: Iterable[int]) -> Text:
    """The text without some groups; a loop's body goes with it, and an empty loop as well."""
    gone = frozenset(dropped)
    kept: list[Piece | Repeat] = []
    for item in text:
        if item.group in gone:
            continue
        if isinstance(item, Repeat):
            body = without(item.body, gone)
            if body:
                kept.append(Repeat(item.group, item.count, body))
        else:
            kept.append(item)
    return tuple(kept)


def assembled(name: str, design: Design, text: Text, constants: Mapping[int, int]) -> Program:
    """The program of a text: tokens wherever two engines touch the same thing, and END."""
    steps = schedule([_item(item) for item in text])
    ops = [
        Op(step.op.name, step.op.values, frozenset(step.wait), frozenset(step.signal))
        for step in steps
    ]
    return Program(name, design.hash, encode_all([*ops, Op("END")]), dict(constants), {})


def _item(item: Piece | Repeat) -> ScheduledOp | Loop:
    if isinstance(item, Piece):
        return ScheduledOp(Op(item.name, item.values), "", item.reads, item.writes)
    head = ScheduledOp(Op("LOOP", {"count": item.count}), "")
    return Loop(head, [_item(inner) for inner in item.body])
