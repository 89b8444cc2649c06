"""The passes of the layer IR and the table of what each stage allows."""

from dataclasses import replace

import pytest
from tests.shapes import GPT2, SMOLLM2

from alula.ir import Graph, IllegalGraph, Node, UnsupportedShape, build_graph, check
from alula.ir.lower import lower
from alula.ir.padding import pad_heads
from alula.ir.passes import order, quantise


def _ops(graph: Graph, section: str) -> list[tuple[str, str]]:
    return [(node.op, node.output) for node in graph.sections[section]]


def test_keys_and_values_come_before_queries() -> None:
    ops = _ops(build_graph(SMOLLM2), "layer")
    assert ops.index(("append", "cache")) < ops.index(("product", "q"))
    assert ops.index(("rope", "q")) < ops.index(("attend", "attention"))


def test_one_quantise_serves_all_products_of_a_value() -> None:
    ops = _ops(quantise(lower(SMOLLM2)), "layer")
    assert ops.count(("quantise", "normed.a8")) == 2
    assert [op for op, _ in ops].count("product") == 7


def test_biases_and_positions_of_gpt2() -> None:
    graph = build_graph(GPT2)
    assert _ops(graph, "embed") == [("embed", "hidden"), ("position", "hidden")]
    assert [op for op, _ in _ops(graph, "layer")].count("bias") == 6
    assert ("activation", "gate") in _ops(graph, "layer")


def test_head_norms_come_before_rope() -> None:
    graph = build_graph(replace(SMOLLM2, family="qwen3", qk_norm=True))
    ops = _ops(graph, "layer")
    assert ops.index(("head_norm", "q")) < ops.index(("rope", "q"))


def test_heads_must_be_whole_groups() -> None:
    shape = replace(SMOLLM2, head_dim=48, rope_inverse_frequencies=(1.0,) * 24)
    with pytest.raises(IllegalGraph, match=r"attn: head_dim must be a multiple of 32, not 48"):
        build_graph(shape)
    assert build_graph(pad_heads(shape)).width("q") == 9 * 64


def test_rows_may_end_inside_a_group() -> None:
    graph = build_graph(replace(SMOLLM2, intermediate_size=1530, hidden_size=570))
    assert (graph.values["gate.a8"].groups, graph.values["normed.a8"].groups) == (48, 18)


def test_every_size_that_no_design_counts_to_is_named() -> None:
    frequencies = (1.0,) * 248
    shape = replace(
        SMOLLM2, intermediate_size=18944, head_dim=496, rope_inverse_frequencies=frequencies
    )
    with pytest.raises(UnsupportedShape) as error:
        build_graph(shape)
    assert [refusal.actual for refusal in error.value.refusals] == ["496", "18,944"]
    assert [refusal.limit for refusal in error.value.refusals] == ["at most 480", "at most 16,384"]


def _with_layer(graph: Graph, *nodes: Node) -> Graph:
    return replace(graph, sections={**graph.sections, "layer": nodes})


def test_stage_is_checked() -> None:
    graph = lower(SMOLLM2)
    with pytest.raises(IllegalGraph, match=r"stage of linear must be lowered to lowered, not qu"):
        check(replace(graph, stage="quantised"))


def test_kinds_are_checked() -> None:
    graph = order(quantise(lower(SMOLLM2)))
    wrong = Node("product", "layers.*.attn.q", ("normed",), "q")
    with pytest.raises(IllegalGraph, match=r"inputs of product must be \('a8',\), not \('fp32',\)"):
        check(_with_layer(graph, wrong))


def test_a_value_must_be_defined_before_it_is_read() -> None:
    graph = lower(SMOLLM2)
    wrong = Node("add", "layers.*.mlp", ("hidden", "up"), "hidden")
    with pytest.raises(
        IllegalGraph, match=r"layers\.\*\.mlp: up must be defined before it is read"
    ):
        check(_with_layer(graph, wrong))


def test_unknown_op() -> None:
    with pytest.raises(IllegalGraph, match=r"op must be one of embed, .*, not conv"):
        check(_with_layer(lower(SMOLLM2), Node("conv", "layers.*", (), "hidden")))
