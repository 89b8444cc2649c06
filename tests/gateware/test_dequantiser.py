from random import Random

from tests.gateware.refusals import refuses

from alula.bench import Bench, BoundCase, each_case, pipeline_cases
from alula.gateware.matrix.dequantiser import LATENCY, Dequantiser, RowDequantiser, kinds
from alula.gateware.stream.weight_format import formats


def blocks(rows: int, sparse: bool):
    """Random beats in every format and at every phase that it can have."""

    def table(random: Random) -> list[tuple[object, ...]]:
        found = []
        for _ in range(300):
            code, item = random.choice(list(formats(sparse=sparse).items()))
            phase = {2: random.choice((0, 2)), 3: random.randrange(4)}.get(item.bits, 0)
            beats = [random.getrandbits(64 * rows) for _ in range(2)]
            found.append((code, beats, phase, 1))
        return found

    return table


def model(rows: int, channels: int):
    """Each channel's two beats are one string of bytes; rows follow each other from the phase."""

    def weights(code: int, beats: list[int], phase: int, enable: int) -> list[list[int]]:
        item = formats(sparse=True)[code]
        part = 8 * rows // channels
        found = []
        for channel in range(channels):
            text = b"".join(
                beat.to_bytes(8 * rows, "little")[channel * part :][:part] for beat in beats
            )
            string = int.from_bytes(text[phase * part // 4 :], "little")
            for _ in range(rows // channels):
                row = []
                for _ in range(16):
                    stored = string & (1 << item.bits) - 1
                    string >>= item.bits
                    if not item.excess and stored >> item.bits - 1:
                        stored -= 1 << item.bits
                    row.append(stored - item.excess)
                found.append(row)
        return found

    return weights


def bench(rows: int, channels: int, sparse: bool = False) -> Bench:
    return Bench(
        f"dequantiser_{rows}_{channels}_{sparse:d}",
        lambda: Dequantiser(rows=rows, channels=channels, sparse=sparse),
        pipeline_cases(
            {"random": blocks(rows, sparse)},
            model(rows, channels),
            latency=LATENCY,
            inputs=("format", "beats", "phase", "enable"),
            output="weights",
        ),
    )


def strings(random: Random) -> list[tuple[int, ...]]:
    """Random bits of every kind."""
    found = []
    for _ in range(400):
        kind = random.randrange(len(kinds(sparse=True)))
        found.append((kind, *(random.getrandbits(16 * bits) for bits in BITS), 1))
    return found


def row(kind: int, *given: int) -> list[int]:
    """The values of a row, from the string of the kind's width."""
    bits, excess = kinds(sparse=True)[kind]
    string = given[BITS.index(bits)]
    stored = [string >> bits * i & (1 << bits) - 1 for i in range(16)]
    half = 1 << bits - 1
    return [value - half if excess else (value ^ half) - half for value in stored]


BITS = (2, 3, 4, 8)
ROW = Bench(
    "row_dequantiser",
    lambda: RowDequantiser(sparse=True),
    pipeline_cases(
        {"random": strings},
        row,
        latency=1,
        inputs=("kind", *(f"string_{bits}" for bits in BITS), "enable"),
        output="weights",
    ),
)
BENCHES = [bench(8, 1), bench(2, 2), bench(4, 2, sparse=True), ROW]


@each_case(*BENCHES)
def test_every_format(case: BoundCase) -> None:
    case.check()


def test_rows_that_do_not_divide() -> None:
    refuses(
        r"rows must be a multiple of channels \(3\), not 8",
        lambda: Dequantiser(rows=8, channels=3),
    )
    refuses("channels must be at least 1, not 0", lambda: Dequantiser(rows=8, channels=0))
