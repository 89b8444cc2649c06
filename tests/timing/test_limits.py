"""The limits of modules: what is more is told, and they only fall."""

import pytest

from alula.synth.limits import Limits
from alula.synth.timing import TimingEstimate


def estimate(**modules: tuple[int, str]) -> TimingEstimate:
    """Modules by name: levels, and paths as START>END."""
    found = {}
    for name, (levels, paths) in modules.items():
        pairs = [path.split(">") for path in paths.split()]
        combinational = [{"start": start, "end": end, "levels": 1} for start, end in pairs]
        found[name] = {"levels": levels, "combinational": combinational}
    return TimingEstimate({}, found)


LIMITS = Limits.found(estimate(top=(2, ""), Load_a1=(5, "x>y"), Load_b2=(7, "x>z v>z")))


def test_modules_of_a_class_have_limits_together() -> None:
    assert LIMITS.as_dict() == {
        "Load": {"levels": 7, "through": {"y": ["x"], "z": ["v", "x"]}},
        "top": {"levels": 2, "through": {}},
    }
    assert Limits.read(LIMITS.as_dict()) == LIMITS


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (estimate(top=(2, ""), Load_c=(7, "x>y x>z v>z")), []),
        (estimate(Load_c=(3, "")), []),
        (estimate(Load_c=(8, "")), ["Load must have at most 7 LUT levels, not 8"]),
        (estimate(Load_c=(7, "v>y")),
         ["Load must have a register between v and y, or declare the path"]),
        (estimate(Store=(1, "")), ["Store must have limits, and has none"]),
    ],
)  # fmt: skip
def test_what_is_more_is_told(found: TimingEstimate, lines: list[str]) -> None:
    assert list(LIMITS.excess(Limits.found(found))) == lines


def test_limits_only_fall() -> None:
    found = Limits.found(estimate(top=(9, "a>b"), Load_c=(6, "x>z u>z")))
    tighter = LIMITS.tightened(found)
    assert tighter.as_dict() == {
        "Load": {"levels": 6, "through": {"z": ["x"]}},
        "top": {"levels": 2, "through": {}},
    }
    assert list(tighter.excess(found)) == list(LIMITS.excess(found))
