"""Random products: LD.W, and the MM or MV that takes its beats."""

from math import lcm
from typing import NamedTuple

from alula.fuzz.draw import Draw, Fields, Maker, Words
from alula.fuzz.functions import quant
from alula.fuzz.memory import Area, DrawnMatrix
from alula.fuzz.text import Piece
from alula.isa.formats import QUARTERS, BeatKind


class _Pair(NamedTuple):
    """What brings the beats of a product, and what takes them."""

    push: list[Piece]
    take: list[Piece]


class _Rows(NamedTuple):
    """Rows of activations for a product: the engine, their first tile and how many."""

    engine: str
    tile: int
    rows: int


def products(draw: Draw, between: list[Maker]) -> list[Piece]:
    """Products of some matrices: pushed in order, taken in order, no other load in between.

    Instructions of `between`, none of them a load, come after what is pushed.
    """
    pairs, meanwhile = list[_Pair](), list[Piece]()
    for _ in range(draw.random.choice((1, 1, 2, 3))):
        matrix = draw.random.choice(draw.places.matrices)
        area = next(one for one in draw.places.areas if one.groups == matrix.groups)
        if draw.random.random() < 0.6:
            meanwhile += quant(draw, area)
            draw.group += 1
        elif draw.random.random() < 0.2:
            area = draw.random.choice(draw.places.areas).read_as(matrix.groups) or area
        pairs += (_chosen if draw.random.random() < 0.25 else _whole)(draw, matrix, area)
    for _ in range(draw.random.randint(0, 2)):
        meanwhile += draw.random.choice(between)(draw)
        draw.group += 1
    pushes = [part for pair in pairs for part in pair.push]
    takes = [part for pair in pairs for part in pair.take]
    return [*pushes, *meanwhile, *takes]


def _whole(draw: Draw, matrix: DrawnMatrix, area: Area) -> list[_Pair]:
    """One product, of row blocks that follow each other."""
    random, block_rows = draw.random, _block_rows(draw, matrix)
    first = random.choice((0, random.randrange(matrix.blocks)))
    first -= 0 if matrix.stride else first % QUARTERS
    blocks = random.randint(1, matrix.blocks - first)
    outputs = random.randint((blocks - 1) * block_rows + 1, blocks * block_rows)
    words = -(-outputs // draw.lanes)
    rows = _rows(draw, matrix, area, words)
    stride = words + random.choice((0, 0, 1, 7))
    return [_pair(draw, matrix, area, rows, first, blocks, outputs, None, stride)]


def _chosen(draw: Draw, matrix: DrawnMatrix, area: Area) -> list[_Pair]:
    """Products of some row blocks only, each where that of the whole matrix would put it."""
    random, block_rows = draw.random, _block_rows(draw, matrix)
    words = -(-matrix.blocks * block_rows // draw.lanes)
    rows = _rows(draw, matrix, area, words)
    target = draw.words((rows.rows - 1) * words + words)
    # A piece begins at a beat of its own, and its results at a word.
    step = lcm(QUARTERS * block_rows, draw.lanes) // block_rows
    pairs = []
    for first in range(0, matrix.blocks, step):
        if random.random() < 0.5:
            continue
        blocks = min(step, matrix.blocks - first)
        place = target.rest(first * block_rows // draw.lanes)
        outputs = blocks * block_rows
        pairs.append(_pair(draw, matrix, area, rows, first, blocks, outputs, place, words))
    return pairs


def _block_rows(draw: Draw, matrix: DrawnMatrix) -> int:
    """Rows of a row block, those of all its parts."""
    return draw.design.rows * matrix.fmt.pattern.segments


def _rows(draw: Draw, matrix: DrawnMatrix, area: Area, words: int) -> _Rows:
    """Rows whose results, of so many words each, have room."""
    engine, tokens = draw.random.choice(("MV", "MM")), draw.design.mpe.tokens
    tile = draw.random.randrange(area.tiles)
    replays = engine == "MM" and _fits(draw, matrix)
    most = (area.tiles - tile) * tokens if replays else tokens
    return _Rows(engine, tile, draw.random.randint(1, max(1, min(most, draw.space // words))))


def _fits(draw: Draw, matrix: DrawnMatrix) -> bool:
    """Whether the stream can hold a row block, and show it for several passes."""
    held, beats = draw.design.stream_beats, matrix.fmt.beats(1, matrix.groups)
    return beats <= held and matrix.fmt.count(BeatKind.INDEX, 1, matrix.groups) <= held // 2


def _pair(
    draw: Draw,
    matrix: DrawnMatrix,
    area: Area,
    rows: _Rows,
    first: int,
    blocks: int,
    outputs: int,
    target: Words | None,
    stride: int,
) -> _Pair:
    """A product of `blocks` row blocks from `first` on, its results at `target` or anywhere."""
    fmt = matrix.fmt
    shape: Fields = {"fmt": fmt.name, "nm": fmt.pattern.name, "groups": matrix.groups}
    push: Fields = {"to": rows.engine, "addr": matrix.beat(first), "blocks": blocks}
    take: Fields = {
        "src": area.base + rows.tile * matrix.groups,
        "outputs": outputs,
        "rows": rows.rows,
    }
    take |= {"stride": stride} | ({"dst": target} if target else {})
    pair = _Pair(
        draw.instruction("LD.W", shape | push | {"stride": matrix.stride}),
        draw.instruction(rows.engine, shape | take),
    )
    draw.group += 1
    return pair
