"""Programs of whole models, without weights: what is in them, and what must not depend on what."""

from dataclasses import replace

import pytest
from tests.shapes import GPT2, LLAMA2_7B, SMOLLM2

from alula.codegen import plan
from alula.design import Design, load_design
from alula.ir import Architecture
from alula.isa import assemble, disassemble
from alula.mapper import DoesNotFit

KV260 = load_design("kv260")


@pytest.mark.parametrize(
    ("shape", "design", "context", "most"),
    [
        (SMOLLM2, "kv260", 512, (535, 180)),
        (replace(SMOLLM2, qk_norm=True), "kv260", 512, (511, 186)),
        (GPT2, "kv260", 1024, (500, 298)),
        (LLAMA2_7B, "u280", 4096, (473, 528)),
    ],
)
def test_programs_are_small_and_read_as_text(
    shape: Architecture, design: str, context: int, most: tuple[int, int]
) -> None:
    """`most`: instructions of prefill and of decode. Programs may become shorter than they are."""
    _, _, prefill, decode, _ = plan(shape, load_design(design), context)
    for program, limit in zip((prefill, decode), most, strict=True):
        assert len(program) <= limit
        assert len(program.origins) == len(program)
        assert tuple(assemble(disassemble(program.ops))) == program.ops


@pytest.mark.parametrize("shape", [SMOLLM2, replace(GPT2, max_context=2048)])
def test_code_does_not_depend_on_the_context(shape: Architecture) -> None:
    programs = [plan(shape, KV260, context)[2:4] for context in (32, 256, 1024, shape.max_context)]
    for phase in range(2):
        assert len({pair[phase].code for pair in programs}) == 1
        assert len({tuple(sorted(pair[phase].constants)) for pair in programs}) == 1
        assert len({tuple(pair[phase].constants.values()) for pair in programs}) == 4


def test_code_does_not_depend_on_the_number_of_layers() -> None:
    codes = [plan(replace(SMOLLM2, layers=layers), KV260, 256)[3] for layers in (2, 30)]
    differing = [
        (one, other) for one, other in zip(codes[0].ops, codes[1].ops, strict=True) if one != other
    ]
    assert all(one.name == other.name for one, other in differing)
    assert {one.name for one, _ in differing} <= {"LD.V"}


def test_layers_are_named_by_their_iteration() -> None:
    decode = plan(SMOLLM2, KV260, 256)[3]
    (loop,) = decode.layer_loops
    assert decode.ops[loop].name == "LOOP"
    assert decode.origins[loop + 1] == "layers.{layer}.attn_norm"


def test_inputs_are_the_documented_ones() -> None:
    prefill, decode = plan(SMOLLM2, KV260, 256)[2:4]
    assert prefill.inputs == decode.inputs
    assert list(decode.inputs)[:3] == ["position", "tokens", "embed"]
    assert not set(decode.inputs.values()) & set(decode.constants)


def _small_vector_buffer() -> Design:
    return KV260.replace({"buffers.vector_kib": 16})


def test_a_design_too_small_is_refused_before_any_weight_is_read() -> None:
    with pytest.raises(DoesNotFit) as error:
        plan(SMOLLM2, _small_vector_buffer(), 512)
    assert str(error.value).startswith("vector buffer (decode) must be at most 16,384 bytes on ")
    assert str(error.value).endswith(
        "fits with buffers.vector_kib 26, or --design kv260-sparse or u280 or vhk158"
    )
    assert not error.value.report.fits


def test_a_program_must_fit_its_buffer() -> None:
    with pytest.raises(DoesNotFit, match=r"program \(prefill\) must be at most 2,048 bytes"):
        plan(SMOLLM2, KV260.replace({"buffers.program_kib": 2}), 512)


def test_a_chunk_stays_whole_where_the_program_of_its_halves_is_too_long() -> None:
    short = KV260.replace({"buffers.program_kib": 8})
    whole, halves = (plan(SMOLLM2, design, 512).prefill for design in (short, KV260))
    assert len(whole.code) < short.program_bytes < len(halves.code)
