"""tiny on its ECP5, placed and routed by nextpnr: the first placement, others may be faster."""

from alula.design import load_design
from alula.synth import place_and_route
from benchmarks.report import progress_shown, report


def measure() -> dict[str, object]:
    with progress_shown() as progress:
        return place_and_route(load_design("tiny"), progress, seeds=1).as_dict()


if __name__ == "__main__":
    report(measure())
