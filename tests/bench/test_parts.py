"""The parts of a bench that need no simulator."""

import enum
from itertools import islice
from random import Random

import pytest
from amaranth.hdl import Module, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from alula.bench import (
    ALTERNATE,
    ANYTHING,
    PATTERNS,
    Bench,
    Mismatch,
    Scoreboard,
    random_pattern,
    stream_cases,
)
from alula.bench.payload import pack, unpack
from alula.bench.ports import find_ports


class Kind(enum.Enum):
    A = 0
    B = 1


PAIR = data.StructLayout(
    {"low": signed(4), "list": data.ArrayLayout(unsigned(3), 2), "kind": Kind, "none": 0}
)
EITHER = data.UnionLayout({"byte": 8, "nibble": 4})


class Many(wiring.Component):
    """Every kind of port."""

    def __init__(self) -> None:
        inner = wiring.Signature({"flag": Out(1), "data": Out(stream.Signature(PAIR))})
        super().__init__(
            {
                "plain": In(5),
                "inner": In(inner),
                "fast": Out(stream.Signature(8, always_ready=True)).array(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        return Module()


def test_payloads_there_and_back() -> None:
    value = {"low": -3, "list": [1, 7], "kind": 1, "none": 0}
    bits = pack(PAIR, value)
    assert bits == 0b1_111_001_1101
    assert unpack(PAIR, bits) == value
    assert pack(PAIR, value | {"kind": Kind.B}) == bits
    assert pack(EITHER, {"nibble": 5}) == 5
    assert unpack(EITHER, 0x35) == {"byte": 0x35, "nibble": 5}


@pytest.mark.parametrize(
    ("shape", "value", "words"),
    [
        (unsigned(3), 8, r"^a value of unsigned\(3\) must be 0 to 7, not 8$"),
        (signed(3), -5, r"^a value of signed\(3\) must be -4 to 3, not -5$"),
        (PAIR, {"low": 1}, r"^fields must be \['kind', 'list', 'low', 'none'\], not \['low'\]$"),
        (PAIR, 3, r"^a struct must be a dict of its fields, not 3$"),
        (data.ArrayLayout(3, 2), [1], r"^an array must be 2 values, not \[1\]$"),
    ],
)
def test_payloads_that_do_not_fit(shape: object, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pack(shape, value)


def test_ports() -> None:
    component = Many()
    component._MustUse__used = True
    streams, others = find_ports(component)
    assert [(item.name, item.inward) for item in streams] == [
        ("inner__data", True),
        ("fast__0", False),
        ("fast__1", False),
    ]
    assert [part.name for part in streams[1].parts] == ["fast__0__payload", "fast__0__valid"]
    assert streams[0].ready is not None
    assert not streams[0].ready.inward
    assert {(port.name, port.inward) for port in others} == {
        ("plain", True),
        ("inner__flag", True),
    }


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_patterns_go_in_the_end_and_repeat(pattern: object) -> None:
    first, second = (list(islice(pattern.start(Random(3)), 400)) for _ in range(2))
    assert first == second
    assert sum(first) > 100


def test_pattern_refusal() -> None:
    assert list(islice(ALTERNATE.start(Random(0)), 4)) == [True, False, True, False]
    with pytest.raises(ValueError, match=r"^probability must be above 0 and at most 1, not 0$"):
        random_pattern(0)


def test_scoreboard() -> None:
    board = Scoreboard("o", [{"a": 1, "b": ANYTHING}, [2, 300]])
    board.take({"a": 1, "b": 5, "c": 7})
    assert not board.complete
    with pytest.raises(Mismatch, match=r"^o\[1\] of 2 must be \[2, 300 \(0x12c\)\], not \[2, 3\]$"):
        board.take([2, 3])
    board.take([2, 300])
    assert board.complete
    with pytest.raises(Mismatch, match=r"^o must end after 2 items, not give 4$"):
        board.take(4)


def test_benches_need_names_of_their_own() -> None:
    cases = stream_cases({"one": [1]}, list)
    assert len(cases) == len(PATTERNS) ** 2
    with pytest.raises(ValueError, match=r"must have names of their own"):
        Bench("twice", Many, [*cases, *cases])
    Bench("once", Many, cases)
    with pytest.raises(ValueError, match=r"^a bench's name must be unique in its file, not 'once'"):
        Bench("once", Many, cases)
