from random import Random
from typing import Any

from tests.gateware.refusals import refuses

from alula.bench import ANYTHING, Bench, BoundCase, each_case, pipeline_cases
from alula.gateware.matrix.chain import GROUPS, LATENCY, Chain

CUTS = {"2:4": 0x88, "8:16": 0x88, "4:16": 0xAA, "2:16": 0xFF}
NONZEROS = {"2:4": 8, "8:16": 8, "4:16": 4, "2:16": 2}
DENSE = ("activations", "weights")
SPARSE = (*DENSE, "index", "cuts", "pruned")


def expected(case: dict[str, Any]) -> list:
    """Each token's total, or, with a pattern, its running sum behind each group."""
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


def block(rng: Random, low: int, values: int = 16) -> list[int]:
    if rng.random() < 0.2:
        return [rng.choice((low, 127)) for _ in range(values)]
    return [rng.randint(low, 127) for _ in range(values)]


def dense_blocks(rng: Random) -> list[tuple]:
    blocks = [([block(rng, -127), block(rng, -127)], block(rng, -128)) for _ in range(100)]
    return [*blocks, ([[-127] * 16] * 2, [-128] * 16)]


def any_cuts(rng: Random) -> list[tuple]:
    """Any cuts or none, which change every cycle."""
    return [
        (
            [block(rng, -127), block(rng, -127)],
            block(rng, -128),
            [rng.randrange(16) for _ in range(16)],
            rng.randrange(256),
            rng.randrange(2),
        )
        for _ in range(200)
    ]


def pattern_blocks(pattern: str):
    """The non-zeros of 16 / N rows side by side, each row's in order."""

    def table(rng: Random) -> list[tuple]:
        found = []
        for _ in range(60):
            weights, index = [], []
            for _ in range(16 // NONZEROS[pattern]):
                if pattern == "2:4":
                    index += [4 * q + k for q in range(4) for k in sorted(rng.sample(range(4), 2))]
                else:
                    index += sorted(rng.sample(range(16), NONZEROS[pattern]))
                weights += block(rng, -128, NONZEROS[pattern])
            x = [block(rng, -127), block(rng, -127)]
            found.append((x, weights, index, CUTS[pattern], 1))
        return found

    return table


def chain_model(names: tuple[str, ...]):
    def model(*values: Any) -> dict[str, list]:
        case = dict(zip(names, values, strict=True))
        return {"sums" if case.get("pruned") else "total": expected(case)}

    return model


def row_model(pattern: str):
    """Each row's dot product with the block stands behind the row's last group."""

    def model(x: list, weights: list, index: list, cuts: int, pruned: int) -> dict[str, list]:
        sums: list = [ANYTHING] * GROUPS
        nonzeros = NONZEROS[pattern]
        for first in range(0, 16, nonzeros):
            dense = [0] * 16
            for i in range(first, first + nonzeros):
                dense[index[i]] = weights[i]
            sums[(first + nonzeros) // 2 - 1] = [sum(map(int.__mul__, dense, t)) for t in x]
        return {"sums": sums}

    return model


def bench(sparse: bool, cascaded: bool) -> Bench:
    names = SPARSE if sparse else DENSE
    outputs = ("total", "sums") if sparse else ("total",)
    tables = {"cuts": (any_cuts, chain_model(names))} if sparse else {}
    tables |= (
        {pattern: (pattern_blocks(pattern), row_model(pattern)) for pattern in CUTS}
        if sparse
        else {"dense": (dense_blocks, chain_model(names))}
    )
    return Bench(
        f"chain_{sparse:d}_{cascaded:d}",
        lambda: Chain(sparse=sparse, cascaded=cascaded),
        [
            case
            for name, (table, model) in tables.items()
            for case in pipeline_cases(
                {name: table}, model, latency=LATENCY, inputs=names, output=outputs
            )
        ],
    )


BENCHES = [bench(sparse, cascaded) for sparse in (False, True) for cascaded in (False, True)]


@each_case(*BENCHES)
def test_chain(case: BoundCase) -> None:
    case.check()


def test_a_target_that_does_not_exist():
    refuses(
        "target must be one of .*, not 'dsp'",
        lambda: Chain(target="dsp"),  # pyright: ignore[reportArgumentType]
    )
