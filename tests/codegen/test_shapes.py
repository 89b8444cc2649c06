"""Random shapes on random designs: refused in the fit report, or they run at every length."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.codegen.test_families import Bench
from tests.shapes import RandomCheckpoint

from alula.codegen import compile_model, fit_report
from alula.design import Design, DesignError, load_design
from alula.ir import Architecture, UnsupportedShape
from alula.ir.architecture import ACTIVATIONS, NORMS, POSITIONS, PROJECTIONS
from alula.quant import QuantizedModel
from alula.quant.reference import IntegerReference

DESIGNS = ("tiny", "nano", "nano-sparse", "kv260", "u280", "vhk158")
SMALL_SEEDS, LARGE_SEEDS = range(8), range(100, 106)


def design(pick: random.Random) -> Design:
    """A design that ships, or one with another chunk and smaller buffers."""
    found = load_design(pick.choice(DESIGNS))
    changes: dict[str, int] = {}
    if pick.random() < 0.5:
        changes["prefill_chunk"] = found.mpe.tokens * pick.randint(1, 12)
    for key in ("vector", "activation", "staging", "stream", "program"):
        if pick.random() < 0.08:
            name = f"buffers.{key}_kib"
            changes[name] = max(1, getattr(found.buffers, f"{key}_kib") // pick.randint(2, 16))
    try:
        return found.replace(changes)
    except DesignError:
        return found


def architecture(pick: random.Random, *, large: bool) -> Architecture:
    """Any shape, small enough to run or as large as models are."""

    def size(small: int, big: int) -> int:
        most = big if large else small
        return pick.choice((pick.randint(1, most), pick.randint(1, max(1, most // 32)) * 32))

    position, gated, norm = pick.choice(POSITIONS), pick.random() < 0.6, pick.choice(NORMS)
    kv_heads = size(3, 40) if pick.random() < 0.8 else 1
    head_dim = min(size(70, 256), 600)
    head_dim += head_dim % 2 if position == "rope" else 0
    rope = tuple(pick.random() for _ in range(head_dim // 2)) if position == "rope" else None
    names = [name for name in PROJECTIONS if gated or name != "mlp.gate"]
    return Architecture(
        family="random",
        vocab_size=1 + size(300, 260_000),
        hidden_size=size(130, 9000),
        layers=pick.randint(1, 80) if large else pick.randint(1, 2),
        heads=kv_heads * pick.choice((1, 1, 2, 3, 4, 7, 8)),
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=size(200, 20_000),
        max_context=100 if not large else pick.choice((1024, 8192, 131_072)),
        norm=norm,
        norm_eps=1e-5,
        activation=pick.choice(ACTIVATIONS),
        gated_mlp=gated,
        position=position,
        rope_inverse_frequencies=rope,
        qk_norm=pick.random() < 0.4,
        tied_head=pick.random() < 0.5,
        biases=frozenset(name for name in names if pick.random() < 0.3),
    )


def run_small(seed: int) -> str:
    """Compile a small random model and run prompts of every length that matters."""
    pick = random.Random(seed)
    shape, chosen = architecture(pick, large=False), design(pick)
    context = pick.randint(1, 100)
    if not fit_report(shape, chosen, context).fits:
        return "refused"
    model = QuantizedModel(RandomCheckpoint(shape))
    bench, reference = Bench(compile_model(model, chosen, context)), IntegerReference(model)
    ids = [pick.randrange(shape.vocab_size) for _ in range(context)]
    for length in sorted(set(_lengths(bench.build.chunk, context))):
        bench.run_prefill(ids[:length], 0)
        if length < context:
            bench.run([ids[length]], length)
    caches = reference.cache()
    expected = reference.logits(torch.tensor(ids), caches)[-1:].numpy()
    found = bench.rows("logits", 1, shape.vocab_size)
    np.testing.assert_array_equal(found, expected.view(np.uint32))
    assert bench.token() == int(expected[0].argmax())
    return "runs"


def _lengths(chunk: int, context: int) -> Iterator[int]:
    for length in (1, chunk - 1, chunk, chunk + 1, context - 1, context):
        if 1 <= length <= context:
            yield length


def check_large(seed: int) -> str:
    """The fit report of a large random model: it names every misfit, and its programs are sound."""
    pick = random.Random(seed)
    shape, chosen = architecture(pick, large=True), design(pick)
    context = pick.randint(1, min(chosen.context_max, shape.max_context))
    try:
        report = fit_report(shape, chosen, context)
    except UnsupportedShape:
        return "no design"
    instructions = [item for item in report.items if "(" in item.resource]
    assert not instructions, report.table()
    return "fits" if report.fits else "refused"


@pytest.mark.parametrize("seed", SMALL_SEEDS)
def test_a_small_shape_runs_or_is_refused(seed: int) -> None:
    run_small(seed)


def test_most_small_shapes_run() -> None:
    """A test that refuses everything would pass the one above."""
    picks = [random.Random(seed) for seed in SMALL_SEEDS]
    shapes = [(architecture(pick, large=False), design(pick)) for pick in picks]
    fits = [fit_report(shape, chosen, 32).fits for shape, chosen in shapes]
    assert sum(fits) > len(fits) // 2


@pytest.mark.parametrize("seed", LARGE_SEEDS)
def test_a_large_shape_fits_or_is_refused_by_its_sizes(seed: int) -> None:
    check_large(seed)
