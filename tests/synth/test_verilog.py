"""Verilog for a part: what is in it, counted from its text."""

from alula.design import load_design
from alula.synth.verilog import inside, instances, memories, ports_of, styled

KV260 = load_design("kv260")
TINY = load_design("tiny")
MODULES = {
    "top": """\
module top(clk);
  reg [511:0] deep [4095:0];
  reg [7:0] small [63:0];
  Leaf leaf (
    .clk(clk)
  );
  Middle \\middle$1  (
    .clk(clk)
  );
endmodule
module \\top.part (clk);
  Middle second (
    .clk(clk)
  );
endmodule
""",
    "Middle": """\
module Middle(clk);
  reg [63:0] \\deep$2  [2047:0];
  Leaf \\leaf.a  (
    .clk(clk)
  );
  Leaf b (
    .clk(clk)
  );
  OTHER primitive (
    .clk(clk)
  );
endmodule
""",
    "Leaf": "module Leaf(clk);\n  input clk;\nendmodule\n",
}
ULTRA = '  (* ram_style = "ultra" *)\n'
TABLES = '  (* ram_style = "distributed" *)\n'


def test_instances_are_counted_through_the_hierarchy() -> None:
    assert instances(MODULES) == {"top": 1, "Middle": 2, "Leaf": 5}


def test_what_stands_in_a_module() -> None:
    assert inside("Middle", MODULES) == ["Leaf", "Leaf"]
    assert inside("Leaf", MODULES) == []


def test_ports() -> None:
    text = """\
(* top = 1 *)
module Unit(clk, rst, a, function, y__payload);
  input clk;
  wire clk;
  input rst;
  input [7:0] a;
  wire [7:0] a;
  input \\function ;
  output [12:0] y__payload;
  reg [12:0] y__payload;
endmodule
module \\Unit.part (b);
  input b;
endmodule
"""
    wanted = {"a": ("input", 8), "function": ("input", 1), "y__payload": ("output", 13)}
    assert ports_of("Unit", text) == wanted


def test_memories() -> None:
    assert memories(MODULES["top"]) == [(512, 4096, 0), (8, 64, 0)]
    assert memories(MODULES["Middle"]) == [(64, 2048, 0)]
    # One that says that it is made of tables is no block; another attribute says nothing of that.
    deep = "  reg [7:0] deep [127:0];\n"
    assert memories(TABLES + deep) == []
    assert memories("  (* keep *)\n" + deep) == [(8, 128, 0)]


def test_deep_memories_go_to_ultraram() -> None:
    texts = styled(MODULES, KV260)
    assert texts["top"].count(ULTRA + "  reg [511:0] deep [4095:0];\n") == 1
    assert texts["Middle"].count(ULTRA + "  reg [63:0] \\deep$2  [2047:0];\n") == 1
    assert {name: text.replace(ULTRA, "") for name, text in texts.items()} == MODULES
    assert "".join(texts.values()).count(ULTRA) == 2


def test_a_part_without_ultraram_has_none() -> None:
    assert "ultra" not in "".join(styled(MODULES, TINY).values())


def test_what_is_no_declared_block_is_made_of_tables() -> None:
    top = styled(MODULES, TINY)["top"]
    assert top.count(TABLES + "  reg [7:0] small [63:0];\n") == 1
    assert top.replace(TABLES, "") == MODULES["top"]
