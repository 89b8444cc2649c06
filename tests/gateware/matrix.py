"""Products for the matrix engine: packed into beats, and their results by plain integers."""

from dataclasses import dataclass, field
from random import Random

from tests.gateware import exact

from alula.gateware.weight_format import CODES
from alula.isa.formats import EXCESS, MIN_UNIT

BITS = {name: item.bits for name, item in CODES.items()}


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
    q: list = field(default_factory=list)
    s: list = field(default_factory=list)
    m: list = field(default_factory=list)
    c: list = field(default_factory=list)

    def fill(self, random: Random, block_rows: int) -> "Product":
        """Random weights, with extremes."""
        padded = -(-self.outputs // block_rows) * block_rows
        item = CODES[self.fmt]
        low, high = 0, (1 << item.bits) - 1
        if not item.excess:
            low, high = (-128 if self.fmt == "V8" else -127), 127

        def value(low: int, high: int) -> int:
            return (
                random.choice((low, high)) if random.random() < 0.1 else random.randint(low, high)
            )

        self.q = [[value(low, high) for _ in range(32 * self.groups)] for _ in range(padded)]
        self.s = [[value(0, 255) for _ in range(self.groups)] for _ in range(padded)]
        self.m = [[value(-128, 127) for _ in range(self.groups)] for _ in range(padded)]
        self.c = [exact.bf16(exact.number(random, 60, 190)) for _ in range(padded)]
        for row in range(padded):
            if random.random() < 0.05:
                self.c[row] = random.choice((0, 0x8000, 0x0001, 0x7F80, 0xFF80, 0x7FFF, 0x0080))
        return self

    def blocks(self, block_rows: int) -> int:
        return -(-self.outputs // block_rows)

    def beats(self, block_rows: int, channels: int) -> list[dict]:
        """What LD pushes, in order, for one core."""
        item = CODES[self.fmt]
        r = block_rows // channels
        found: list[dict] = []
        pending = [b""] * channels

        def push(parts: list[bytes], kind: int) -> None:
            joined = b"".join(part.ljust(8 * r, b"\0") for part in parts)
            found.append({"data": int.from_bytes(joined, "little"), "kind": kind})

        count = 0
        for block in range(self.blocks(block_rows)):
            if item.scales and block % 4 == 0:
                push([self._factors(block, c, r, block_rows) for c in range(channels)], 2)
            for group in range(self.groups):
                if item.metas and count % 4 == 0:
                    push([self._metas(count, c, r, block_rows) for c in range(channels)], 1)
                count += 1
                for half in range(2):
                    for c in range(channels):
                        for j in range(r):
                            row = block * block_rows + c * r + j
                            at = 32 * group + 16 * half
                            bits = 0
                            for k, q in enumerate(self.q[row][at : at + 16]):
                                bits |= (q & (1 << item.bits) - 1) << k * item.bits
                            pending[c] += bits.to_bytes(2 * item.bits, "little")
                    while len(pending[0]) >= 8 * r:
                        push([part[: 8 * r] for part in pending], 0)
                        pending = [part[8 * r :] for part in pending]
        if pending[0]:
            push(pending, 0)
        return found

    def _factors(self, block: int, channel: int, r: int, block_rows: int) -> bytes:
        text = b""
        for b in range(block, min(block + 4, self.blocks(block_rows))):
            for j in range(r):
                text += self.c[b * block_rows + channel * r + j].to_bytes(2, "little")
        return text

    def _metas(self, count: int, channel: int, r: int, block_rows: int) -> bytes:
        text = b""
        for i in range(count, min(count + 4, self.blocks(block_rows) * self.groups)):
            block, group = divmod(i, self.groups)
            rows = [block * block_rows + channel * r + j for j in range(r)]
            text += bytes(self.s[row][group] for row in rows)
            text += bytes(self.m[row][group] & 255 for row in rows)
        return text


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
    item = CODES[product.fmt]
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
                        w = product.s[n][g] * (w - item.excess) + MIN_UNIT * product.m[n][g]
                    acc += values[k] * scale * w
            scaled = exact.fl(acc)
            if item.scales:
                scaled = exact.multiply(scaled, exact.clean(product.c[n] << 16))
            line.append(exact.fl(exact.value(scaled) * exact.Fraction(2) ** power))
        found.append(line)
    return found


assert CODES["W4"].excess == EXCESS
