import random

import pytest
from amaranth.sim import Simulator
from tests.gateware.refusals import refuses

from alula.gateware.chain import GROUPS, LATENCY, Chain

CUTS = {"2:4": 0x88, "8:16": 0x88, "4:16": 0xAA, "2:16": 0xFF}


def run(chain, cases):
    """Sums, or totals without a pattern, of cases fed one a cycle."""
    results = []

    async def bench(ctx):
        for cycle in range(len(cases) + LATENCY):
            if cycle < len(cases):
                for name, value in cases[cycle].items():
                    ctx.set(getattr(chain, name), value)
            if cycle >= LATENCY:
                total = [ctx.get(chain.total[t]) for t in range(2)]
                if cases[cycle - LATENCY].get("pruned"):
                    total = [[ctx.get(chain.sums[g][t]) for t in range(2)] for g in range(GROUPS)]
                results.append(total)
            await ctx.tick()

    simulator = Simulator(chain)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def expected(case):
    pruned = case.get("pruned")
    picked = case["index"] if pruned else range(16)
    cuts = case["cuts"] | 0x88 if pruned else 0x88
    sums = []
    running = [0, 0]
    for group in range(GROUPS):
        for i in (2 * group, 2 * group + 1):
            for t in range(2):
                running[t] += case["weights"][i] * case["activations"][t][picked[i]]
        sums.append(list(running))
        if cuts >> group & 1:
            running = [0, 0]
    return sums if pruned else [sums[3][t] + sums[7][t] for t in range(2)]


def block(rng, low, values=16):
    if rng.random() < 0.2:
        return [rng.choice((low, 127)) for _ in range(values)]
    return [rng.randint(low, 127) for _ in range(values)]


@pytest.mark.parametrize("cascaded", [False, True])
def test_dense_blocks(cascaded):
    rng = random.Random(1)
    cases = [
        {"activations": [block(rng, -127), block(rng, -127)], "weights": block(rng, -128)}
        for _ in range(100)
    ]
    cases.append({"activations": [[-127] * 16] * 2, "weights": [-128] * 16})
    results = run(Chain(cascaded=cascaded), cases)
    assert results == [expected(case) for case in cases]


@pytest.mark.parametrize("cascaded", [False, True])
@pytest.mark.parametrize("pattern", CUTS)
def test_patterns_hand_out_a_sum_for_each_row(cascaded, pattern):
    """The non-zeros of 16 / N rows side by side give each row's dot product with the block."""
    rng = random.Random(pattern)
    nonzeros = {"2:4": 8, "8:16": 8, "4:16": 4, "2:16": 2}[pattern]
    cases, rows = [], []
    for _ in range(40):
        x = [block(rng, -127), block(rng, -127)]
        dense_rows, weights, index = [], [], []
        for _ in range(16 // nonzeros):
            if pattern == "2:4":
                kept = [4 * q + k for q in range(4) for k in sorted(rng.sample(range(4), 2))]
            else:
                kept = sorted(rng.sample(range(16), nonzeros))
            values = block(rng, -128, nonzeros)
            weights += values
            index += kept
            dense_rows.append([values[kept.index(k)] if k in kept else 0 for k in range(16)])
        case = {"activations": x, "weights": weights, "pruned": 1}
        cases.append({**case, "index": index, "cuts": CUTS[pattern]})
        rows.append([[sum(map(int.__mul__, row, t)) for t in x] for row in dense_rows])
    results = run(Chain(sparse=True, cascaded=cascaded), cases)
    for sums, by_row in zip(results, rows, strict=True):
        assert sums[nonzeros // 2 - 1 :: nonzeros // 2] == by_row


@pytest.mark.parametrize("cascaded", [False, True])
def test_any_cuts_and_none_that_change_every_cycle(cascaded):
    rng = random.Random(3)
    cases = [
        {
            "activations": [block(rng, -127), block(rng, -127)],
            "weights": block(rng, -128),
            "index": [rng.randrange(16) for _ in range(16)],
            "cuts": rng.randrange(256),
            "pruned": rng.randrange(2),
        }
        for _ in range(60)
    ]
    results = run(Chain(sparse=True, cascaded=cascaded), cases)
    assert results == [expected(case) for case in cases]


def test_a_target_that_does_not_exist():
    refuses(
        "target must be one of .*, not 'dsp'",
        lambda: Chain(target="dsp"),  # pyright: ignore[reportArgumentType]
    )
