"""Down the ladder: each family on the machine model against the integer reference.

Prefill over several chunks, then decode: hidden states, logits and the next token must be equal bit
for bit, on designs whose row blocks, lanes and chunks differ.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.shapes import FAMILIES, UNEVEN, RandomCheckpoint

from alula.codegen import Build, compile_model, plan
from alula.codegen.scope import Scope
from alula.design import Design, load_design
from alula.ir import Architecture, Precision
from alula.ir.bands import title_of
from alula.ir.padding import pad_heads
from alula.isa import Program, RunInputs
from alula.isa.formats import MATRIX_FORMATS
from alula.mapper import DoesNotFit
from alula.mapper.traffic import matrix_bytes
from alula.model import Machine
from alula.model.races import Race, Races
from alula.quant import QuantizedModel, pack
from alula.quant.banded import parts_of
from alula.quant.reference import IntegerReference

CONTEXT = 96
PROMPT = [int(token) for token in np.random.default_rng(7).integers(0, 160, 37)]


class Bench:
    """A build on a machine, driven as docs/reference/programs.md says; no run may have a race."""

    def __init__(self, build: Build) -> None:
        self.build, self.machine = build, Machine(build.design)
        self.races = Races(self.machine.state)
        self.machine.load(build.image)
        self.beat = build.design.bytes_per_cycle

    def run(self, ids: Sequence[int], position: int, **inputs: int) -> None:
        """Run the prefill program, for one token the decode program."""
        build = self.build
        self._run(build.decode if len(ids) == 1 else build.prefill, ids, position, **inputs)

    def run_prefill(self, ids: Sequence[int], position: int) -> None:
        """Run the prefill program, for one token too."""
        self._run(self.build.prefill, ids, position)

    def _run(self, program: Program, ids: Sequence[int], position: int, **inputs: int) -> None:
        chunk = self.build.chunk
        start = self.build.image.regions["ids"].start
        for index, first in enumerate(range(0, len(ids), chunk)):
            place = start + index * self.build.row_beats["ids"]
            self.machine.write(
                place, np.array(ids[first : first + chunk], np.uint32).view(np.uint8)
            )
        whole = RunInputs(
            position=position,
            tokens=len(ids),
            layers=self.build.architecture.layers,
            logits=True,
            hidden_out=True,
        )
        registers = whole.registers() | inputs
        self.machine.run(program, registers, on_retire=self.races.retired)

    def rows(self, region: str, count: int, width: int) -> np.ndarray:
        """Bits of the first rows of a region, uint32 [count, width]."""
        start = self.build.image.regions[region].start
        beats = self.machine.read(start, count * self.build.row_beats[region])
        return beats.reshape(count, -1).view(np.uint32)[:, :width]

    def token(self) -> int:
        """The argmax that the machine found."""
        beats = self.machine.read(self.build.image.regions["result"].start, 1)
        return int(beats.view(np.uint32)[0, 0])


def _bits(values: torch.Tensor) -> np.ndarray:
    return values.contiguous().numpy().view(np.uint32)


DESIGNS = {name: load_design(name) for name in ("tiny", "kv260", "u280")}
SPARSE = load_design("nano-sparse")
TWO_CORES = SPARSE.replace({"cores": 2, "memory.channels": 2, "part.dsp": 2000})
DESIGNS["undivided"] = DESIGNS["tiny"].replace({"prefill_chunk": 2})
"""The last one's chunks are too short for two halves."""


CASES = [*itertools.product(FAMILIES, DESIGNS), *itertools.product(UNEVEN, ("tiny", "kv260"))]


@pytest.mark.parametrize(("family", "design"), CASES)
def test_machine_equals_reference(family: str, design: str) -> None:
    shape = (FAMILIES | UNEVEN)[family]
    compare(QuantizedModel(RandomCheckpoint(shape)), DESIGNS[design])


@pytest.mark.parametrize("fmt", MATRIX_FORMATS)
def test_every_format(fmt: str) -> None:
    """A model whose matrices are all of one format."""
    compare(QuantizedModel(RandomCheckpoint(FAMILIES["smollm"]), Precision(fmt, fmt)), SPARSE)


@pytest.mark.parametrize("seed", range(3))
def test_mixed_formats(seed: int) -> None:
    """A format of its own for each matrix of a layer, drawn at random."""
    print(f"seed {seed}")
    model, precision = mixed(seed)
    compare(QuantizedModel(model, precision), SPARSE)


def mixed(seed: int) -> tuple[RandomCheckpoint, Precision]:
    """A model and formats for its matrices."""
    pick = random.Random(seed)
    shape = FAMILIES[pick.choice(["smollm", "qwen3", "gpt2"])]
    formats = list(MATRIX_FORMATS)
    named = {f"layers.*.{name}": pick.choice(formats) for name in shape.projections}
    return RandomCheckpoint(shape), Precision(head=pick.choice(formats), matrices=named)


BY_LAYER = Precision(
    "W4",
    "W8",
    {
        "layers.0.mlp.down": "W8",
        **{f"layers.{layer}.attn.q": "W3" for layer in (1, 2)},
        **{f"layers.{layer}.mlp.up": "W2" for layer in (3, 4)},
    },
)
"""Layers 0, 1 to 2 and 3 to 4 lie alike."""


def layered(family: str, precision: Precision = BY_LAYER) -> QuantizedModel:
    """A model of five layers."""
    return QuantizedModel(RandomCheckpoint(replace(FAMILIES[family], layers=5)), precision)


@pytest.mark.parametrize("design", ["tiny", "kv260", "undivided"])
@pytest.mark.parametrize("family", ["smollm", "qwen2", "gpt2"])
def test_formats_by_layer(family: str, design: str) -> None:
    compare(layered(family), DESIGNS[design])


def test_patterns_by_layer() -> None:
    named = {"layers.1.mlp.down": "W3 4:16", "layers.3.attn.o": "W4 2:4"}
    design = SPARSE.replace({"buffers.program_kib": 32})
    compare(layered("smollm", Precision("W4 8:16", matrices=named)), design)


@pytest.mark.parametrize("design", ["tiny", "undivided"])
def test_runs_of_layers_can_be_run_in_parts(design: str) -> None:
    """Parts begin and end inside a run and at its ends, and may leave runs out."""
    build = compile_model(layered("smollm"), DESIGNS[design], CONTEXT)
    whole, parts = Bench(build), Bench(build)
    for first, end in itertools.combinations(range(6), 2):
        for bench, cuts in ((whole, (0, 5)), (parts, (0, first, end, 5))):
            for ids, position in ((PROMPT, 0), ([9], len(PROMPT))):
                for begin, stop in itertools.pairwise(cuts):
                    inputs = {"first_layer": begin, "layers": stop - begin}
                    last = {"head_rows": int(stop == 5), "embed": int(begin == 0)}
                    if begin < stop:
                        bench.run(ids, position, **inputs, **last)
        for region, width in (("logits", 160), ("hidden", 64)):
            found, expected = (bench.rows(region, 1, width) for bench in (parts, whole))
            np.testing.assert_array_equal(found, expected, f"{first} {end}")


def test_layers_of_runs_are_named() -> None:
    """What an instruction serves is told with the layer's own number, from any first layer on."""
    build = compile_model(layered("smollm"), DESIGNS["tiny"], CONTEXT)
    assert sorted(build.decode.layer_loops.values()) == [0, 1, 3]
    for first, layers in ((0, 5), (2, 2), (4, 1)):
        seen: list[str] = []
        machine = Machine(build.design)
        machine.load(build.image)
        inputs = RunInputs(position=0, tokens=1, first_layer=first, layers=layers).registers()
        machine.run(build.decode, inputs, on_retire=lambda one, seen=seen: seen.append(one.origin))
        named = [origin.split(".")[1] for origin in seen if origin.endswith(".attn_norm")]
        assert [int(name) for name, _ in itertools.groupby(named)] == [
            *range(first, first + layers)
        ]


@pytest.mark.parametrize(
    ("family", "design"),
    [
        ("smollm", "nano-sparse"),
        ("multi-query", "nano-sparse"),
        ("uneven qwen3", "nano-sparse"),
        ("post-layernorms", "nano-sparse"),
        ("qwen2", "tiny"),
        ("llama", "undivided"),
        ("gpt2", "kv260"),
        ("smollm", "two cores"),
    ],
)
def test_bands_of_rows(family: str, design: str) -> None:
    """Rows of each matrix in formats by 16, drawn at random, other ones in the last layer."""
    shape = (FAMILIES | UNEVEN)[family]
    found = {**DESIGNS, "nano-sparse": SPARSE, "two cores": TWO_CORES}[design]
    formats = [title for title in MATRIX_FORMATS if found.mpe.sparse or ":" not in title]
    step = max(16, found.rows * 8 if found.mpe.sparse else found.rows)
    precision = drawn_bands(shape, formats, step)
    compare(QuantizedModel(RandomCheckpoint(shape), precision), found)


def drawn_bands(shape: Architecture, formats: Sequence[str], step: int) -> Precision:
    """Formats for each `step` rows of all matrices but the head."""
    pick, matrices = random.Random(len(formats)), {}
    for name, (rows, _) in pad_heads(shape).projections.items():
        for unit in (f"layers.*.{name}", f"layers.{shape.layers - 1}.{name}"):
            ends = [*range(step, rows, step), rows]
            matrices[unit] = title_of(
                (pick.choice(formats), end - first) for first, end in itertools.pairwise([0, *ends])
            )
    return Precision(matrices=matrices)


def test_bands_lie_behind_each_other_at_the_contract_s_size() -> None:
    """Each begins with a beat, and has the bytes of a matrix that is packed alone."""
    shape = FAMILIES["smollm"]
    title = "W4 4:16 x 32 + W4 x 16 + W3 8:16 x 48"
    model = QuantizedModel(RandomCheckpoint(shape), Precision(matrices={"layers.*.mlp.up": title}))
    build = compile_model(model, SPARSE, CONTEXT)
    memory = plan(shape, SPARSE, CONTEXT, model.precision).memory
    stored = memory.runs[0].section.matrices["layers.*.mlp.up"]
    sizes = [
        (MATRIX_FORMATS[one], blocks)
        for one, blocks in (("W4 4:16", 4), ("W4", 8), ("W3 8:16", 12))
    ]
    assert [band.beats for band in stored.bands] == [fmt.beats(blocks, 2) for fmt, blocks in sizes]
    assert stored.tile_beats == sum(fmt.beats(blocks, 2) for fmt, blocks in sizes)
    # No group or row block shares a beat with one that is not there: nothing is padded.
    assert stored.tile_beats * SPARSE.bytes_per_cycle == sum(
        matrix_bytes(fmt, rows, 64)
        for fmt, rows in ((sizes[0][0], 32), (sizes[1][0], 16), (sizes[2][0], 48))
    )
    start = build.image.regions["layers"].start + memory.runs[0].beat(1) + stored.offset
    found = build.image.data[start : start + stored.tile_beats]
    expected = [pack(part, 1, SPARSE.rows) for part in parts_of(model.matrix("layers.1.mlp.up"))]
    np.testing.assert_array_equal(found, np.concatenate(expected))


@pytest.mark.parametrize("title", ["W4 4:16 x 12 + W4 x 84", "W4 x 2 + W3 x 94"])
def test_bands_must_begin_with_row_blocks(title: str) -> None:
    """4:16 takes 8 rows of nano-sparse, a word of results 4."""
    model = QuantizedModel(
        RandomCheckpoint(FAMILIES["smollm"]), Precision(matrices={"layers.*.mlp.up": title})
    )
    message = r"rows of a band \(both\) must be at most (12|2) rows on nano-sparse, not (24|4)"
    with pytest.raises(DoesNotFit, match=message):
        compile_model(model, SPARSE, CONTEXT)


@pytest.mark.parametrize("up", ["W4 8:16", "W4 x 64 + W4 8:16 x 32"])
def test_a_pattern_needs_an_engine_that_has_it(up: str) -> None:
    precision = Precision(matrices={"layers.*.mlp.up": up})
    model = QuantizedModel(RandomCheckpoint(FAMILIES["smollm"]), precision)
    with pytest.raises(DoesNotFit, match=r"N:M patterns"):
        compile_model(model, load_design("nano"), CONTEXT)


def compare(model: QuantizedModel, design: Design) -> None:
    """A prompt and two tokens, bit for bit."""
    shape = model.original
    bench = Bench(compile_model(model, design, CONTEXT))
    reference = IntegerReference(model)
    caches = reference.cache()
    position, ids = 0, PROMPT
    for _ in range(3):
        bench.run(ids, position)
        positions = torch.arange(position, position + len(ids))
        hidden = reference.embed(torch.tensor(ids), positions)
        for layer in range(shape.layers):
            hidden = reference.layer(layer, hidden, positions, caches[layer])
        logits = reference.head(hidden[-1:])
        found = bench.rows("hidden", len(ids), shape.hidden_size)
        np.testing.assert_array_equal(found, _bits(hidden))
        np.testing.assert_array_equal(bench.rows("logits", 1, shape.vocab_size), _bits(logits))
        assert bench.token() == int(logits[0].argmax())
        position += len(ids)
        ids = [bench.token()]


def test_layers_can_be_run_in_parts() -> None:
    """Hidden states through memory between two runs give what one run gives."""
    model = QuantizedModel(RandomCheckpoint(FAMILIES["smollm"]))
    build = compile_model(model, load_design("tiny"), CONTEXT)
    whole, parts = Bench(build), Bench(build)
    whole.run(PROMPT, 0)
    parts.run(PROMPT, 0, layers=1, head_rows=0)
    parts.run(PROMPT, 0, embed=0, first_layer=1, layers=1)
    np.testing.assert_array_equal(parts.rows("logits", 1, 160), whole.rows("logits", 1, 160))
    assert parts.token() == whole.token()


@pytest.mark.parametrize("length", [1, 3, 4, 5, 8, 9])
def test_halves_of_every_length(length: int) -> None:
    """Half 1 of a chunk may be empty, or shorter than half 0."""
    model = QuantizedModel(RandomCheckpoint(FAMILIES["llama"]))
    halves, whole = (
        Bench(compile_model(model, DESIGNS[name], CONTEXT)) for name in ("tiny", "undivided")
    )
    ids = [7, *range(20, 19 + length)]
    for bench in (halves, whole):
        bench.run_prefill(ids, 0)
    for region, rows, width in (("logits", 1, 160), ("hidden", length, 64)):
        found, expected = (bench.rows(region, rows, width) for bench in (halves, whole))
        np.testing.assert_array_equal(found, expected)


def test_a_resource_that_is_not_named_is_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the bench's look at tokens can fail: nothing waits for the queries' rows."""
    touch = Scope.touch

    def forget(self: Scope, *names: str, piece: int | None = None) -> set[str]:
        return touch(self, *(name for name in names if name != "q"), piece=piece)

    monkeypatch.setattr(Scope, "touch", forget)
    bench = Bench(
        compile_model(QuantizedModel(RandomCheckpoint(FAMILIES["llama"])), DESIGNS["tiny"], CONTEXT)
    )
    with pytest.raises(Race, match="must not be touched in any order"):
        bench.run(PROMPT, 0)
