"""The constants of the cycle model are found again from runs that were made with others."""

from benchmarks.cost_points import designs, points
from benchmarks.fit_cycles import constants, errors, fit

from alula.cost.fitted import FITTED

TRUTH = {"ask_matrix": FITTED["ask_matrix"] + 6, "run": FITTED["run"] - 3}
SEED = 5


def test_constants_are_found_again() -> None:
    nano = designs()["nano"]
    mine = [one for one in points(SEED, 24) if one.design == "nano"][:4]
    assert len(mine) == 4
    with constants(TRUTH):
        made = [(nano, one, 1.0) for one in mine]
        runs = [(nano, one, error + 1) for one, error in zip(mine, errors(made), strict=True)]
    assert max(map(abs, errors(runs))) > 1e-3
    found = fit(runs, {name: FITTED[name] for name in TRUTH})
    with constants(found):
        assert max(map(abs, errors(runs))) < 1e-3
    assert abs(found["ask_matrix"] - TRUTH["ask_matrix"]) <= 1
    assert FITTED["ask_matrix"] == TRUTH["ask_matrix"] - 6
