"""The campaign's command line."""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.campaign.campaign import Campaign, Result
from tests.campaign.kinds import KINDS


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="run one input again")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--kinds", default=",".join(KINDS), help="with commas between")
    parser.add_argument("--keep", type=Path, default=Path("build/campaign"))
    return parser.parse_args()


def main() -> int:
    """Run a campaign and print a table; 1 if an input failed."""
    given = _arguments()
    numbers = range(given.first, given.first + given.inputs)
    if given.only is not None:
        numbers = range(given.only, given.only + 1)
    started = time.monotonic()
    campaign = Campaign(given.seed, tuple(given.kinds.split(",")), given.keep)
    try:
        result = campaign.run(numbers, started + 60 * given.minutes)
    finally:
        campaign.close()
    _print(result, given.seed, time.monotonic() - started, given.keep)
    return 1 if result.failures else 0


def _print(result: Result, seed: int, seconds: float, kept: Path) -> None:
    failed = Counter(
        failure.kind for failure in {one.number: one for one in result.failures}.values()
    )
    print(f"{'kind':10} {'inputs':>7} {'well':>7} {'failed':>7} {'mean s':>7} {'slowest s':>10}")
    for kind in sorted(result.inputs):
        print(
            f"{kind:10} {result.inputs[kind]:7} {result.well[kind]:7} {failed[kind]:7} "
            f"{result.seconds[kind] / result.inputs[kind]:7.3f} {result.slowest[kind]:10.2f}"
        )
    total = sum(result.inputs.values())
    print(f"seed {seed}: {total} inputs in {seconds:.0f} s, {sum(failed.values())} failed")
    faults = Counter((failure.kind, failure.found) for failure in result.failures)
    for (kind, found), count in faults.most_common():
        first = next(one for one in result.failures if (one.kind, one.found) == (kind, found))
        told = first.told.strip().splitlines()
        last = ascii(told[-1][:160]) if told else ""
        print(f"{count:5} {kind}: {found}, first {first.number}: {last}")
    if faults:
        print(f"their files are in {kept}; to run one again: --seed {seed} --only NUMBER")


if __name__ == "__main__":
    sys.exit(main())
