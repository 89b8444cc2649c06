"""Damage at random: to bytes, to text, to trees of JSON values."""

import struct
from random import Random
from typing import Any

SIZES = (0, 1, 2, 3, 7, 8, 31, 32, 127, 255, 256, 65535, 65536, 1 << 20, 1 << 24, (1 << 31) - 1)
SIZES += (1 << 31, (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 53, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
TEXTS = (
    *("", " ", "a", "0", "-1", "null", "None", "é", "日本", "🙂", "<s>", "../x", "/dev/zero", "~x"),
    *(
        "\n",
        "a\nb",
        "\r",
        "\t",
        "\0",
        "\x1b[31m",
        "\x1b]0;x\x07",
        "\x7f",
        "\x9b2J",
        "\u202e",
        "\u2028",
    ),
    *(
        "\ufeff",
        "\ud800",
        "\udcff",
        "a" * 70,
        "b" * 5000,
        "{{",
        "{% for %}",
        "$A",
        "%s%n",
        "*",
        "&a",
        "!!int",
    ),
)


def damaged(random: Random, data: bytes, within: int | None = None) -> bytes:
    """Bytes with one to eight things changed, most of them in the first `within`."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        limit = min(len(out), within or len(out)) if random.random() < 0.9 else len(out)
        at = random.randrange(limit + 1)
        length = random.choice((1, 1, 2, 4, 8, 16, random.randint(1, 200)))
        match random.randrange(8):
            case 0 if out and at < len(out):
                out[at] ^= 1 << random.randrange(8)
            case 1:
                out[at : at + length] = random.randbytes(length)
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[at : at + length]
            case 4:
                out[at:at] = random.randbytes(length)
            case 5 if random.random() < 0.3:
                del out[at:]
            case 6:
                size = random.choice((4, 8))
                number = random.choice(SIZES) & ((1 << 8 * size) - 1)
                out[at : at + size] = number.to_bytes(size, "little")
            case _:
                word = random.choice(TEXTS).encode("utf-8", "surrogatepass")
                out[at : at + len(word)] = word
    return bytes(out)


def value(random: Random) -> Any:
    """Any JSON value, the edges more often than chance would have it."""
    match random.randrange(12):
        case 0:
            return None
        case 1:
            return random.random() < 0.5
        case 2 | 3:
            number = random.choice(SIZES) + random.choice((-1, 0, 0, 1))
            return random.choice((number, -number, float(number)))
        case 4:
            return random.choice((0.5, -0.0, 1e-320, 1e308, float("inf"), float("nan"), 10**400))
        case 5 | 6 | 7:
            return random.choice(TEXTS) + random.choice(("", random.choice(TEXTS)))
        case 8:
            return [value(random) for _ in range(random.choice((0, 1, 2, 5)))]
        case 9:
            return {random.choice(TEXTS): value(random) for _ in range(random.choice((0, 1, 3)))}
        case 10:
            return random.choice(([0] * 20_000, "x" * 100_000, list(range(300))))
        case _:
            deep: Any = value(random) if random.random() < 0.5 else 0
            for _ in range(random.choice((3, 40, 900))):
                deep = [deep] if random.random() < 0.5 else {"a": deep}
            return deep


def changed(random: Random, tree: Any) -> Any:
    """A tree of dicts and lists with one to four things in it changed."""
    holder = [tree]
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        places = list(_places(holder))
        inside, key = random.choice(places)
        match random.randrange(8):
            case 0 if inside is not holder:
                del inside[key]
            case 1 if isinstance(inside, dict):
                inside[random.choice(TEXTS)] = value(random)
            case 2 if isinstance(inside, dict):
                inside[random.choice(list(inside))] = inside[key]
            case 3:
                inside[key] = [inside[key]]
            case 4 if isinstance(inside[key], int | float) and abs(inside[key]) < 1e300:
                inside[key] = inside[key] * random.choice((-1, 0, 2, 3)) + random.choice(
                    (0, 1, 0.5)
                )
            case 5 if isinstance(inside[key], str):
                inside[key] = text(random, inside[key])
            case _:
                inside[key] = value(random)
    return holder[0]


def _places(tree: Any) -> Any:
    """Every key and index of a tree, with what it is of."""
    found: list[tuple[Any, Any]] = []
    left = [tree]
    while left and len(found) < 5000:
        inside = left.pop()
        keys = list(inside) if isinstance(inside, dict) else range(min(len(inside), 50))
        for key in keys:
            found.append((inside, key))
            if isinstance(inside[key], dict | list) and len(inside[key]) > 0:
                left.append(inside[key])
    return found


def text(random: Random, source: str) -> str:
    """Text with one to four things changed."""
    out = source
    for _ in range(random.choice((1, 1, 2, 4))):
        at, length = random.randrange(len(out) + 1), random.choice((1, 1, 2, 10, 60))
        part = out[at : at + length]
        word = random.choice(
            (*TEXTS, str(random.choice(SIZES)), "9" * random.choice((40, 400, 5000)))
        )
        match random.randrange(5):
            case 0:
                out = out[:at] + out[at + length :]
            case 1:
                out = out[:at] + part * random.choice((2, 3, 100)) + out[at:]
            case 2:
                lines = out.split("\n")
                random.shuffle(lines)
                out = "\n".join(lines)
            case 3:
                out = out[:at] + word + out[at + length :]
            case _:
                out = out[:at] + word + out[at:]
    return out


def packed(kind: str, random: Random) -> bytes:
    """A little-endian number of a struct format, of any value."""
    size = struct.calcsize(kind)
    return random.choice(
        (random.randbytes(size), (random.choice(SIZES) % (1 << 8 * size)).to_bytes(size, "little"))
    )
