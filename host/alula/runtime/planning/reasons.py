"""Why a unit runs where it runs."""

import numpy as np

from alula.runtime.planning.problem import Placement, Problem, price
from alula.runtime.split import Phase


def reason(problem: Problem, chosen: Placement, phase: Phase, index: int) -> str:
    """Return in a few words why a unit is where it is.

    Either no device is quicker, or the quickest has no room, or what is saved there is less than
    what crossing would take.
    """
    times, here = problem.work[phase][index], chosen[phase][index]
    able = [d for d in range(len(times)) if np.isfinite(times[d])]
    if able == [here]:
        return "no other device takes it"
    quickest = min(able, key=lambda d: (times[d], d != here))
    if quickest == here:
        second = min((d for d in able if d != here), key=lambda d: times[d])
        ratio = times[second] / times[here] if times[here] else 1.0
        if ratio == 1:
            return f"as quick as on {problem.devices[second]}"
        return f"{ratio:.3g} times as quick as on {problem.devices[second]}"
    moved: dict[Phase, list[int]] = {
        one: [quickest if one == phase and unit == index else d for unit, d in enumerate(placed)]
        for one, placed in chosen.items()
    }
    name = problem.devices[quickest]
    other = price(problem, moved)
    if other.memory[quickest] > problem.capacity[quickest]:
        return f"{name} is quicker but full"
    saved = times[here] - times[quickest]
    crossing = other.transfer_s - price(problem, chosen).transfer_s
    if crossing > saved:
        return f"on {name} it saves {_short(saved)} s and crossing takes {_short(crossing)} s"
    return f"better for the whole plan, though {name} is quicker by {_short(saved)} s"


def _short(seconds: float) -> str:
    return f"{seconds:.2g}"
