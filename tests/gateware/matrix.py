"""Products for the matrix engine: packed into beats, and their results by plain integers."""

from dataclasses import dataclass, field
from random import Random

from tests.gateware import exact

from alula.isa import WEIGHT_FORMATS, WeightFormat
from alula.isa.formats import MIN_UNIT, BeatKind


@dataclass
class Product:
    """One LD.W with its MM or MV."""

    engine: str
    fmt: str
    rows: int
    outputs: int
    groups: int
    src: int = 0
    dst: int = 0
    stride: int = 0
    nm: str = "dense"
    q: list = field(default_factory=list)
    s: list = field(default_factory=list)
    m: list = field(default_factory=list)
    c: list = field(default_factory=list)
    kept: list = field(default_factory=list)

    @property
    def item(self) -> WeightFormat:
        return WEIGHT_FORMATS[self.fmt, self.nm]

    def fill(self, random: Random, block_rows: int) -> "Product":
        """Random weights, with extremes; `kept`: the inputs of each 16 that have one, in order."""
        item = self.item
        padded = self.blocks(block_rows) * block_rows * item.pattern.segments
        low, high = 0, (1 << item.bits) - 1
        if not item.excess:
            low, high = -(1 << item.bits - 1), (1 << item.bits - 1) - 1
            low += self.fmt == "W8"

        def value(low: int, high: int) -> int:
            return (
                random.choice((low, high)) if random.random() < 0.1 else random.randint(low, high)
            )

        def inputs() -> list[int]:
            found = []
            for first in range(0, 16, item.pattern.of):
                some = range(first, first + item.pattern.of)
                found += random.sample(some, item.pattern.kept) if self.nm != "dense" else some
            return found

        signed = item.pattern.segments > 1
        s_low, s_high = (-128, 127) if signed else (0, 255)
        self.kept = [[inputs() for _ in range(2 * self.groups)] for _ in range(padded)]
        self.q = [[0] * 32 * self.groups for _ in range(padded)]
        for row, runs in zip(self.q, self.kept, strict=True):
            for run, some in enumerate(runs):
                for k in some:
                    row[16 * run + k] = value(low, high)
        self.s = [[value(s_low, s_high) for _ in range(self.groups)] for _ in range(padded)]
        self.m = [[value(-128, 127) for _ in range(self.groups)] for _ in range(padded)]
        self.c = [exact.bf16(exact.number(random, 60, 190)) for _ in range(padded)]
        for row in range(padded):
            if random.random() < 0.05:
                self.c[row] = random.choice((0, 0x8000, 0x0001, 0x7F80, 0xFF80, 0x7FFF, 0x0080))
        return self

    def blocks(self, block_rows: int) -> int:
        return -(-self.outputs // (block_rows * self.item.pattern.segments))

    def beats(self, block_rows: int, channels: int) -> list[dict]:
        """What LD pushes, in order, for one core."""
        item = self.item
        r, segments = block_rows // channels, item.pattern.segments
        found: list[dict] = []
        # Bytes that each channel has of each kind, and where that kind's beats are.
        filled: dict[int, int] = dict.fromkeys(range(4), 0)
        places: dict[tuple[int, int], int] = {}

        def add(kind: int, strings: list[bytes]) -> None:
            """Append to the beats of a kind; begin new ones as they are needed."""
            for channel, string in enumerate(strings):
                at = filled[kind]
                for byte in string:
                    if at % (8 * r) == 0 and channel == 0:
                        places[kind, at // (8 * r)] = len(found)
                        found.append({"data": 0, "kind": kind})
                    beat = found[places[kind, at // (8 * r)]]
                    beat["data"] |= byte << 8 * (channel * 8 * r + at % (8 * r))
                    at += 1
            filled[kind] += len(strings[0])

        def rows(block: int, segment: int, channel: int) -> range:
            first = (block * segments + segment) * block_rows + channel * r
            return range(first, first + r)

        def string(values: list[int], bits: int) -> bytes:
            number = sum((v & (1 << bits) - 1) << i * bits for i, v in enumerate(values))
            return number.to_bytes(2 * bits, "little")

        for block in range(self.blocks(block_rows)):
            if item.scales:
                add(2, [self._factors(rows, block, channel) for channel in range(channels)])
            for group in range(self.groups):
                if item.metas:
                    add(1, [self._metas(rows, block, group, c) for c in range(channels)])
                for kind, bits in ((0, item.bits), (3, item.pattern.index_bits)):
                    strings = [b""] * channels
                    for run in (2 * group, 2 * group + 1):
                        for channel in range(channels):
                            for j in range(r):
                                values = []
                                for segment in range(segments):
                                    row = rows(block, segment, channel)[j]
                                    some = self.kept[row][run]
                                    if kind:
                                        values += [k % item.pattern.of for k in some]
                                    else:
                                        values += [self.q[row][16 * run + k] for k in some]
                                strings[channel] += string(values, bits)
                    add(kind, strings)
        return found

    def _factors(self, rows, block: int, channel: int) -> bytes:
        text = b""
        for segment in range(self.item.pattern.segments):
            for row in rows(block, segment, channel):
                text += self.c[row].to_bytes(2, "little")
        return text

    def _metas(self, rows, block: int, group: int, channel: int) -> bytes:
        text = b""
        for segment in range(self.item.pattern.segments):
            text += bytes(self.s[row][group] & 255 for row in rows(block, segment, channel))
        if self.nm == "dense":
            text += bytes(self.m[row][group] & 255 for row in rows(block, 0, channel))
        return text


def stream_order(fmt: str, blocks: int, groups: int, nm: str = "dense") -> list[BeatKind]:
    """The kind of each beat of a matrix, from the contract's places."""
    known = WEIGHT_FORMATS[fmt, nm]
    kinds = [BeatKind.VALUE] * known.beats(blocks, groups)
    for kind in BeatKind:
        for number in range(known.count(kind, blocks, groups)):
            kinds[known.place(kind, number, groups)] = kind
    return kinds


def steps_of(commands: list[dict[str, int]]) -> list[dict[str, int]]:
    """Row blocks, passes of each, groups of each, halves of each."""
    return [
        {
            "half": half,
            "first": int(group == 0),
            "last": int(half == 1 and group == command["groups"] - 1),
            "first_pass": int(number == 0),
            "last_pass": int(number == command["passes"] - 1),
            "first_block": int(block == 0),
            "last_block": int(block == command["blocks"] - 1),
            "tag": command["tag"],
        }
        for command in commands
        for block in range(command["blocks"])
        for number in range(command["passes"])
        for group in range(command["groups"])
        for half in (0, 1)
    ]


@dataclass
class Activations:
    """The activation buffer: values, scales and exponents of each group and token."""

    tokens: int
    values: list
    scales: list
    exponents: list

    @classmethod
    def random(cls, random: Random, groups: int, tokens: int) -> "Activations":
        def value() -> int:
            return (
                random.choice((-127, 127)) if random.random() < 0.1 else random.randint(-127, 127)
            )

        def exponent() -> int:
            return random.choice((-300, 300)) if random.random() < 0.05 else random.randint(-60, 60)

        rows = range(tokens)
        return cls(
            tokens,
            [[[value() for _ in range(32)] for _ in rows] for _ in range(groups)],
            [[random.randint(1, 255) for _ in rows] for _ in range(groups)],
            [[exponent() for _ in rows] for _ in range(groups)],
        )

    def read(self, group: int, half: int) -> dict:
        """What the buffer answers."""
        return {
            "data": [row[16 * half : 16 * half + 16] for row in self.values[group]],
            "side": [
                {"scale": scale, "sum": sum(row), "exponent": exponent}
                for row, scale, exponent in zip(
                    self.values[group], self.scales[group], self.exponents[group], strict=True
                )
            ],
        }


def results(product: Product, x: Activations) -> list[list[int]]:
    """fp32 bits of each row's outputs."""
    item = product.item
    found = []
    for row in range(product.rows):
        first = product.src + row // x.tokens * product.groups
        slot = row % x.tokens
        power = x.exponents[first][slot]
        line = []
        for n in range(product.outputs):
            acc = 0
            for g in range(product.groups):
                values, scale = x.values[first + g][slot], x.scales[first + g][slot]
                for k in range(32):
                    w = product.q[n][32 * g + k]
                    if item.metas:
                        w = product.s[n][g] * (w - item.excess)
                        w += MIN_UNIT * product.m[n][g] if item.excess else 0
                    acc += values[k] * scale * w
            scaled = exact.fl(acc)
            if item.scales:
                scaled = exact.multiply(scaled, exact.clean(product.c[n] << 16))
            line.append(exact.fl(exact.value(scaled) * exact.Fraction(2) ** power))
        found.append(line)
    return found
