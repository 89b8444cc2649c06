"""A reading that differs from transformers' model of a configuration is found and refused."""

from dataclasses import replace

import pytest
from tests.frontend.test_families import small_config

from alula.frontend import FrontendError, load
from alula.frontend.families import FAMILIES, comparison
from alula.frontend.families.comparison import compare_reading
from alula.frontend.families.family import Family, FamilyNorms, Scales
from alula.frontend.huggingface import load_pretrained
from alula.frontend.rope import inverse_frequencies

WRONG = {
    "llama: eps": ("llama", {"norm": FamilyNorms(eps=1e-5)}),
    "llama: pairs": ("llama", {"pairs": "adjacent"}),
    "llama: a factor on the branches": ("llama", {"scales": lambda config: Scales(branches=0.99)}),
    "llama: another scale": ("llama", {"scales": lambda config: Scales(attention=0.36)}),
    "gemma: weights as they are": ("gemma", {"norm": FamilyNorms()}),
    "gemma: an embedding as it is": ("gemma", {"scales": Family(models="").scales}),
    "granite: no multipliers": ("granite", {"scales": Family(models="").scales}),
    "opt: positions from row 0": ("opt", {"position_offset": 0}),
    "glm: halves": ("glm", {"pairs": "half"}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_family_read_wrongly_is_found(what: str, monkeypatch) -> None:
    name, change = WRONG[what]
    multipliers = {"embedding_multiplier": 3.0} if name == "granite" else {}
    config = small_config(name, **multipliers)
    compare_reading(config, FAMILIES[name], load_pretrained, "it")
    monkeypatch.setitem(FAMILIES, name, replace(FAMILIES[name], **change))
    with pytest.raises(FrontendError, match=r"read as transformers|the default|have the shape"):
        compare_reading(config, FAMILIES[name], load_pretrained, "it")


def test_what_shows_at_the_end_of_the_context_alone_is_found(monkeypatch) -> None:
    def bent(size: int, theta: float) -> tuple[float, ...]:
        *others, slowest = inverse_frequencies(size, theta)
        return (*others, 1.01 * slowest)

    config = small_config("llama", max_position_embeddings=4096)
    compare_reading(config, FAMILIES["llama"], load_pretrained, "it")
    monkeypatch.setattr("alula.frontend.rope.inverse_frequencies", bent)
    with pytest.raises(FrontendError, match=r"at position 40\d\d \(it\)"):
        compare_reading(config, FAMILIES["llama"], load_pretrained, "it")


def test_a_verdict_is_kept_and_belongs_to_its_configuration(folder, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    compared = []
    real = comparison.compare_reading
    monkeypatch.setattr(
        comparison, "compare_reading", lambda *given: (compared.append(1), real(*given))
    )
    path = folder("llama2")
    for expected in (1, 1):
        load(path)
        assert len(compared) == expected
    config = path / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 2e-06'))
    load(path)
    assert len(compared) == 2


def test_a_refusal_is_not_kept(folder, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "cache"))
    path = folder("llama2")
    with monkeypatch.context() as patch:
        patch.setitem(FAMILIES, "llama", replace(FAMILIES["llama"], pairs="adjacent"))
        with pytest.raises(FrontendError, match=r"read as transformers reads it"):
            load(path)
    load(path)


def test_without_a_cache_it_is_compared_all_the_same(folder, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ALULA_CACHE", str(tmp_path / "file" / "cache"))
    path = folder("llama2")
    load(path)
    monkeypatch.setitem(FAMILIES, "llama", replace(FAMILIES["llama"], pairs="adjacent"))
    with pytest.raises(FrontendError, match=r"read as transformers reads it"):
        load(path)
