"""The fit report: what fits runs, what does not is refused before, and what is advised works."""

from dataclasses import replace

import pytest
from tests.shapes import FAMILIES, LLAMA2_7B, SMOLLM2, sized

from alula.codegen import fit_report
from alula.design import Design, load_design
from alula.ir import Architecture
from alula.mapper import FitReport, Lever

KV260 = load_design("kv260")


def _llama(hidden: int, intermediate: int, heads: tuple[int, int], head_dim: int) -> Architecture:
    return replace(
        LLAMA2_7B,
        vocab_size=128256,
        hidden_size=hidden,
        intermediate_size=intermediate,
        heads=heads[0],
        kv_heads=heads[1],
        head_dim=head_dim,
        max_context=131072,
        layers=16,
        rope_inverse_frequencies=(0.5,) * (head_dim // 2),
        tied_head=True,
    )


SHAPES = {
    "llama-3.2-1b": _llama(2048, 8192, (32, 8), 64),
    "qwen3-4b": replace(_llama(2560, 9728, (32, 8), 128), qk_norm=True),
}


def _misfits(report: FitReport) -> set[str]:
    return {item.resource for item in report.items if not item.fits}


@pytest.mark.parametrize("name", SHAPES)
def test_larger_models_fit_kv260_with_smaller_chunks(name: str) -> None:
    report = fit_report(SHAPES[name], KV260, 2048)
    assert report.fits, report.table()
    assert (report.chunk, report.design_chunk) == (8, 32)
    assert "A prefill chunk is 8 tokens: the design's 32 do not fit." in report.table()


def test_small_models_keep_the_chunk_of_the_design() -> None:
    report = fit_report(SMOLLM2, KV260, 8192)
    assert report.fits, report.table()
    assert report.chunk == KV260.prefill_chunk
    assert report.table().endswith(f"A prefill chunk is {report.chunk} tokens.")


def test_memory_is_what_a_7b_model_lacks() -> None:
    report = fit_report(LLAMA2_7B, KV260, 2048)
    assert _misfits(report) == {"memory"}
    shorter = report.levers[0]["--context"]
    assert isinstance(shorter, int)
    assert fit_report(LLAMA2_7B, KV260, shorter).fits
    assert not fit_report(LLAMA2_7B, KV260, shorter + 32).fits
    assert report.levers[-1] == {"--design": "u280 or vhk158"}


def _applied(
    shape: Architecture, design: Design, context: int, lever: Lever
) -> list[tuple[Design, int]]:
    """Designs and contexts that a lever leads to."""
    if "--design" in lever:
        return [(load_design(name), context) for name in str(lever["--design"]).split(" or ")]
    if "--context" in lever:
        return [(design, int(lever["--context"]))]
    return [(design.replace(lever), context)]


LONG_HEADS = replace(sized(FAMILIES["llama"], 64, 288, 96), vocab_size=4000)


@pytest.mark.parametrize(
    ("changes", "misfits"),
    [
        ({"buffers.vector_kib": 8}, {"vector buffer"}),
        ({"buffers.activation_kib": 4}, {"activation buffer"}),
        ({"buffers.vector_kib": 8, "buffers.staging_kib": 1}, {"vector buffer", "staging"}),
        ({"memory.capacity_mib": 1}, {"memory", "weights"}),
        ({"buffers.program_kib": 2}, {"program"}),
        ({"mpe.accumulator_bits": 32}, {"accumulator"}),
    ],
)
def test_every_lever_works_and_less_of_it_does_not(
    changes: dict[str, int], misfits: set[str]
) -> None:
    shape, context, design = LONG_HEADS, 96, KV260.replace(changes)
    report = fit_report(shape, design, context)
    assert _misfits(report) == misfits
    assert report.levers
    for lever in report.levers:
        for changed, length in _applied(shape, design, context, lever):
            assert fit_report(shape, changed, length).fits, lever
    (raised,) = (lever for lever in report.levers if set(lever) == set(changes))
    for key, value in raised.items():
        assert isinstance(value, int)
        less = design.replace(dict(raised) | {key: value - 1})
        assert not fit_report(shape, less, context).fits


def test_context_is_no_lever_where_it_does_not_help() -> None:
    report = fit_report(LONG_HEADS, KV260.replace({"buffers.vector_kib": 8}), 96)
    assert not report.fits
    assert all("--context" not in lever for lever in report.levers)


def test_context_beyond_the_model() -> None:
    report = fit_report(replace(SMOLLM2, max_context=2048), KV260, 4096)
    assert _misfits(report) == {"context"}
    assert report.levers == [{"--context": 2048}]
    assert "The model fits with --context 2048." in report.table()


def test_a_long_stream_is_needed_only_where_it_is_replayed() -> None:
    """A chunk of one pass takes each row block once, so it may be longer than the stream."""
    nano = load_design("nano")
    wide = replace(FAMILIES["llama"], intermediate_size=8000)
    larger = {"buffers.activation_kib": 20, "buffers.vector_kib": 160}
    report = fit_report(wide, nano.replace(larger), 96)
    assert report.fits, report.table()
    assert report.chunk == nano.mpe.tokens


def test_a_decode_that_does_not_fit_twice_fits_once() -> None:
    many = replace(FAMILIES["multi-query"], heads=32, max_context=8192)
    report = fit_report(many, KV260.replace({"prefill_chunk": KV260.mpe.tokens}), 4096)
    assert report.fits, report.table()
