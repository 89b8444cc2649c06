"""Windows of texts: drawn alike from all files, the same for the same seed."""

import gzip
from pathlib import Path

import pytest

from alula.frontend import load as load_checkpoint
from alula.runtime.errors import PromptError
from alula.runtime.loading import needed_tokenizer
from alula.runtime.texts import draw_windows, text_of
from alula.runtime.tokenizer import BoundedTokenizer


@pytest.fixture
def tokenizer(small_model: Path) -> BoundedTokenizer:
    return needed_tokenizer(load_checkpoint(small_model))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = tmp_path / "texts"
    (texts / "deep").mkdir(parents=True)
    (texts / "a.txt").write_text("a" * 20_000)
    (texts / "deep" / "b.txt.gz").write_bytes(gzip.compress(b"b" * 20_000))
    (texts / "c.html").write_text(f"<head><title>t</title></head><p>{'c' * 20_000}</p>")
    (texts / "none.bin").write_bytes(b"\xff\xfe" * 100)
    (texts / "broken.gz").write_bytes(b"\x1f\x8b no")
    return texts


def letters(tokenizer: BoundedTokenizer, windows: list[list[int]]) -> set[str]:
    return {letter for ids in windows for letter in tokenizer.decode(ids)}


def test_every_file_gives_its_share(folder: Path, tokenizer: BoundedTokenizer) -> None:
    windows = draw_windows([folder], tokenizer, windows=70, tokens=100, seed=1)
    assert {len(ids) for ids in windows} == {100}
    assert letters(tokenizer, windows) == {"a", "b", "c"}


def test_the_seed_draws(folder: Path, tokenizer: BoundedTokenizer) -> None:
    first, again, other = (
        draw_windows([folder], tokenizer, windows=60, tokens=100, seed=seed) for seed in (1, 1, 3)
    )
    assert first == again != other


def test_all_of_a_file_can_be_had(folder: Path, tokenizer: BoundedTokenizer) -> None:
    """Pieces of 8,192 characters: 81 windows of 100 in each, and 36 in the last."""
    one = [folder / "a.txt"]
    assert len(draw_windows(one, tokenizer, windows=198, tokens=100, seed=1)) == 198
    with pytest.raises(PromptError) as caught:
        draw_windows(one, tokenizer, windows=199, tokens=100, seed=1)
    assert str(caught.value) == f"the text must have 199 windows of 100 tokens, not 198 ({one[0]})"


def test_a_file_is_read_once(folder: Path, tokenizer: BoundedTokenizer) -> None:
    """By links too: windows of the one would be held out of windows of the other."""
    (folder / "link.txt").symlink_to(folder / "a.txt")
    paths = [folder / "a.txt", folder / "link.txt", folder / "deep" / ".." / "a.txt"]
    assert len(draw_windows(paths, tokenizer, windows=198, tokens=100, seed=1)) == 198
    with pytest.raises(PromptError, match="must have 199 windows of 100 tokens, not 198"):
        draw_windows(paths, tokenizer, windows=199, tokens=100, seed=1)


def test_what_is_named_must_be_text(folder: Path, tokenizer: BoundedTokenizer) -> None:
    for name in ("none.bin", "broken.gz"):
        with pytest.raises(PromptError, match="the file must be UTF-8 text, not other bytes"):
            draw_windows([folder / name], tokenizer, windows=1, tokens=2, seed=1)


def test_html_is_read_without_its_marks(folder: Path) -> None:
    assert text_of(folder / "c.html") == "c" * 20_000
