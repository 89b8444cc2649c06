"""Every family end to end: a folder on the machine model, beside the integer reference."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.frontend.test_families import model_of

from alula.frontend.families import FAMILIES
from alula.runtime import load

PROMPT = list(range(5, 16))


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the module's builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.parametrize("name", FAMILIES)
def test_a_folder_generates_what_the_reference_does(name: str, tmp_path: Path) -> None:
    model_of(name).save_pretrained(tmp_path)
    accelerated, torch_alone = (
        load(str(tmp_path), "tiny", map=split).generate(PROMPT, max_new_tokens=3).token_ids
        for split in ("*=accel", "*=torch")
    )
    assert accelerated == torch_alone


@pytest.mark.parametrize("name", ["phi3", "granite"])
def test_a_module_generates_what_its_folder_does(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    model.save_pretrained(tmp_path)
    kept, stored = (
        load(source, "tiny").generate(PROMPT, max_new_tokens=3).token_ids
        for source in (model, str(tmp_path))
    )
    assert kept == stored
