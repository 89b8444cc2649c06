"""`alula explain` and `alula compare`."""

import pytest


def test_explain(alula) -> None:
    words = ("explain", "kv260", "--model", "smollm2-135m", "--context", 64, "--prompt", 16)
    result = alula(*words, "--json")
    assert (result.code, result.errors) == (0, [])
    found = result.json
    assert found["bound_by"] == "memory"
    assert found["change_first"] == {"recipe": "w4"}
    assert any(change["reason"] for change in found["changes"])
    shown = alula(*words)
    assert "bound by memory in decode, by compute in prefill\n" in shown.out
    assert "change first: recipe w4, which brings +" in shown.out
    assert "memory.beat_bytes 128, memory.ports 8  -         -            -" in shown.out


def test_compare(alula) -> None:
    words = ("compare", "tiny", "kv260", "--model", "smollm2-135m", "--context", 64)
    result = alula(*words, "--json")
    assert (result.code, result.errors) == (0, [])
    assert result.json["designs"] == ["tiny", "kv260"]
    assert result.json["ratios"]["tokens_per_s"] > 5
    assert result.json["fields"]["sfu.lanes"] == [2, 16]
    shown = alula(*words)
    assert "kv260 is better" in shown.out
    assert "tiny is better" in shown.out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("explain", "kv270", "--model", "smollm2-135m"), "must be a design file, or kv260"),
        (("explain", "kv260", "--model", "smolm2"), "the model must be a GGUF file, a folder"),
        (("explain", "tiny", "--model", "llama2-7b"), "tiny must hold llama2-7b: "),
        (("explain", "kv260", "--model", "gpt2", "--recipe", "w5"), "must be a recipe file, or "),
        (("compare", "kv260", "tin", "--model", "smollm2-135m"), "must be a design file, or kv260"),
        (("compare", "tiny", "nano", "--model", "llama2-7b"), "tiny or nano must hold llama2-7b: "),
    ],
)
def test_refusals(alula, words: tuple[str, ...], line: str) -> None:
    result = alula(*words)
    assert (result.code, result.out) == (2, "")
    (error,) = result.errors
    assert error.startswith(f"alula: {line}")
