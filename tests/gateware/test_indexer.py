from random import Random

from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, each_case, pipeline_cases
from alula.gateware.matrix.sparse.indexer import LATENCY, Indexer
from alula.gateware.stream.weight_format import formats

PRUNED = {code: item for code, item in formats(sparse=True).items() if item.pattern.segments > 1}


def beats(rows: int):
    """Random beats of every pattern; indices of 2 bits begin at either half."""

    def table(random: Random) -> list[tuple[int, ...]]:
        found = []
        for _ in range(200):
            code, item = random.choice(list(PRUNED.items()))
            phase = random.choice((0, 2)) if item.pattern.index_bits == 2 else 0
            found.append((code, random.getrandbits(64 * rows), phase, 1))
        return found

    return table


def model(rows: int, channels: int):
    """A chain's indices are one bit string; those of 2 bits count within each four inputs."""

    def index(code: int, beat: int, phase: int, enable: int) -> list[list[int]]:
        pattern = PRUNED[code].pattern
        part = 64 * rows // channels
        found = []
        for channel in range(channels):
            string = beat >> channel * part & (1 << part) - 1
            string >>= phase * part // 4
            for _ in range(rows // channels):
                row = []
                for i in range(16):
                    within = string & (1 << pattern.index_bits) - 1
                    string >>= pattern.index_bits
                    first = i % (16 // pattern.segments) // pattern.kept * pattern.of
                    row.append(first + within)
                found.append(row)
        return found

    return index


def bench(rows: int, channels: int) -> Bench:
    return Bench(
        f"indexer_{rows}_{channels}",
        lambda: Indexer(rows=rows, channels=channels),
        pipeline_cases(
            {"random": beats(rows)},
            model(rows, channels),
            latency=LATENCY,
            inputs=("format", "beat", "phase", "enable"),
            output="index",
        ),
    )


BENCHES = [bench(8, 1), bench(4, 2)]


@each_case(*BENCHES)
def test_every_pattern(case: BoundCase) -> None:
    case.check()


def test_rows_that_do_not_divide() -> None:
    refuses(
        r"rows must be a multiple of channels \(3\), not 8", lambda: Indexer(rows=8, channels=3)
    )
    refuses("channels must be at least 1, not 0", lambda: Indexer(rows=8, channels=0))
