"""Units compared with torch while they run: what is wrong is named, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.runtime.test_session import INFO, Counting

from alula.runtime import RunError, Session, UnitError, load
from alula.runtime.checking import Checked
from alula.runtime.session import SessionInfo
from alula.runtime.worker import KvRows, Output

PROMPT = list(b"The capital")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path_factory.getbasetemp() / "checking"))


def session(model: Path, map: str) -> Session:
    return load(model, design="nano", map=map, context=64)


@pytest.mark.parametrize(
    ("map", "exact"),
    [
        ("*=accel", True),
        ("prefill:*=torch,*=accel", True),
        ("layers.1=torch,*=accel", True),
        ("*=torch-fp32", False),
        ("prefill:*=torch-bf16,*=accel", None),
    ],
)
def test_what_units_leave_is_torchs(small_model: Path, map: str, exact: bool | None) -> None:
    llm = session(small_model, map)
    llm.generate(PROMPT, max_new_tokens=2)
    plain = llm.generate(PROMPT[:4], max_new_tokens=4)
    found = llm.generate(PROMPT[:4], max_new_tokens=4, verify="torch")
    assert (found.token_ids, found.reused) == (plain.token_ids, 0)
    assert found.checked is not None
    # Three layers in four forward passes: keys and values, exact ones with their scales; tokens.
    assert found.checked.units >= 4 * 3 * 2 + 4
    if exact is not None:
        assert found.checked.exact == (found.checked.units if exact else 0)
    assert (found.checked.largest_error > 0) == (exact is None)
    assert llm.generate(PROMPT[:4], max_new_tokens=4).checked is None


def worker_of(llm: Session) -> Any:
    (station,) = llm._executor._stations.values()
    return station._worker


def wrong_keys(layer: int, token: int) -> Callable[[Any], None]:
    def spoil(worker: Any) -> None:
        read = worker.read_kv

        def read_kv(number: int, start: int, stop: int) -> KvRows:
            rows = read(number, start, stop)
            if number == layer and start <= token < stop:
                rows.k[token - start, 0, 3] ^= 1
            return rows

        worker.read_kv = read_kv

    return spoil


def wrong_token(worker: Any) -> None:
    run = worker.run
    worker.run = lambda segment, work: Output(token=(run(segment, work).token + 1) % 260)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            wrong_keys(1, 2),
            r"^layers.1 on torch-int:cpu in prefill must leave the keys of torch, not others: 1 ",
        ),
        (wrong_keys(2, 5), r"^layers.2 on torch-int:cpu in decode .* the first of token 5: "),
        (wrong_token, r"^head on torch-int:cpu in prefill must leave the token of torch, not "),
    ],
)
def test_a_wrong_unit_is_named(small_model: Path, spoil: Callable[[Any], None], words: str) -> None:
    llm = session(small_model, "*=torch")
    spoil(worker_of(llm))
    with pytest.raises(UnitError, match=words):
        llm.generate(PROMPT[:4], max_new_tokens=4, verify="torch")
    assert len(llm.generate(PROMPT[:4], max_new_tokens=4).token_ids) == 4


def test_floats_may_differ_by_their_roundings_only(small_model: Path) -> None:
    llm = session(small_model, "*=torch-fp32")
    worker = worker_of(llm)
    weights = worker._reference.unit("layers.1")
    weights["attn.k.weight"] = weights["attn.k.weight"] * 1.01
    words = r"^layers.1 on torch-fp32:cpu in prefill must leave fp32's keys within 0.0049 of their"
    with pytest.raises(UnitError, match=words):
        llm.generate(PROMPT, max_new_tokens=1, verify="torch")


def test_a_token_of_floats_is_nearly_the_most_likely(small_model: Path) -> None:
    llm = session(small_model, "*=torch-fp32")
    wrong_token(worker_of(llm))
    words = r"^head on torch-fp32:cpu in prefill must leave fp32's largest logit within 0.0049 of"
    with pytest.raises(UnitError, match=words):
        llm.generate(PROMPT, max_new_tokens=1, verify="torch")


def test_what_cannot_be_verified(small_model: Path) -> None:
    llm = session(small_model, "*=torch")
    with pytest.raises(RunError, match=r"^verify must be torch or None, not 'model'$"):
        llm.generate(PROMPT, verify="model")  # type: ignore[arg-type]
    info = SessionInfo(**vars(INFO))
    with pytest.raises(RunError, match=r"^verify must be None for a session that"):
        Session(Counting(), info, None).generate([1], verify="torch")


def test_the_command_says_what_was_compared(alula, small_model: Path) -> None:
    words = ["run", str(small_model), "abc", "--verify", "--map", "*=torch", "--max-new-tokens"]
    checked = Checked(**alula(*words, "3", "--json").json["checked"])
    assert checked.exact == checked.units > 0
    assert alula(*words, "3").out.splitlines()[-1].endswith("outputs of units exact")
    np.testing.assert_equal(checked.largest_error, 0.0)
