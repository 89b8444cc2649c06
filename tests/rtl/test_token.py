"""A whole token of SmolLM2-135M in RTL on kv260."""

from pathlib import Path

import pytest

from alula.runtime import load


@pytest.mark.slow
def test_a_token_of_smollm2(smollm2_path: Path) -> None:
    prompt = "What is the capital of France?"
    words = {"context": 256, "map": "prefill:*=torch,*=accel"}
    session = load(str(smollm2_path), "kv260", "rtl", **words)
    answer = session.generate(prompt, max_new_tokens=2)
    expected = load(str(smollm2_path), "kv260", **words).generate(prompt, max_new_tokens=2)
    assert answer.token_ids == expected.token_ids
