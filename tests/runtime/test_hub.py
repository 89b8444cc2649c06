"""Ids of the Hugging Face Hub, with a hub of the test's own behind huggingface_hub's names."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from alula.runtime import hub, models
from alula.runtime.errors import ModelError

ID = "someone/Small-3L"


class Hub:
    """A Hub with one repository, and the cache of huggingface_hub."""

    def __init__(self, files: Path, cache: Path) -> None:
        self.files, self.cache = files, cache
        self.online = True
        self.calls: list[bool] = []
        self.until = 99

    @property
    def folder(self) -> Path:
        return self.cache / "models--someone--Small-3L" / "snapshots" / "abc"

    def snapshot_download(self, model: str, **options: Any) -> str:
        local = options.get("local_files_only", False)
        self.calls.append(local)
        if local:
            if not self.folder.is_dir():
                raise LocalEntryNotFoundError("not here.\nMore of it.")
            return str(self.folder)
        if not self.online:
            raise ConnectionError("[Errno -2] Name or service not known.\nMore of it.")
        if model != ID:
            raise huggingface_hub.errors.HFValidationError(f"no such repository: {model}")
        names = [str(path.relative_to(self.files)) for path in self.files.rglob("*")]
        taken = huggingface_hub.utils.filter_repo_objects(
            names,
            allow_patterns=options["allow_patterns"],
            ignore_patterns=options["ignore_patterns"],
        )
        bar = options["tqdm_class"](total=10, unit="B", desc="bytes")
        for name in sorted(taken)[: self.until]:
            bar.update(1)
            self.put(name)
        bar.close()
        return str(self.folder)

    def put(self, name: str) -> None:
        """Keep a file as huggingface_hub does: by its hash, with a link."""
        data = (self.files / name).read_bytes()
        large = name.endswith(".safetensors")
        text = b"" if large else f"blob {len(data)}\0".encode()
        digest = (hashlib.sha256 if large else hashlib.sha1)(text + data).hexdigest()
        blobs = self.folder.parents[1] / "blobs"
        for folder in (blobs, self.folder):
            folder.mkdir(parents=True, exist_ok=True)
        (blobs / digest).write_bytes(data)
        (self.folder / name).unlink(missing_ok=True)
        (self.folder / name).symlink_to(Path("../../blobs") / digest)


@pytest.fixture
def there(small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    files = tmp_path / "repository"
    shutil.copytree(small_model, files)
    for name in ("modeling_small.py", "pytorch_model.bin", "original/model.safetensors"):
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_text("trap")
    found = Hub(files, tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot_download)
    monkeypatch.chdir(tmp_path)
    return found


def test_an_id_runs(there: Hub, alula: Callable, monkeypatch: pytest.MonkeyPatch, cache) -> None:
    words = ("run", ID, "Hi", "--design", "tiny", "--max-new-tokens", 2, "--json")
    first = alula(*words)
    assert (first.code, first.errors) == (0, [])
    assert there.calls == [True, False]
    there.online = False
    again = alula(*words)
    assert again.json["token_ids"] == first.json["token_ids"]
    assert there.calls == [True, False, True]


def test_only_data_is_taken(there: Hub) -> None:
    told: list[tuple[str, int, int]] = []
    folder = hub.fetched(ID, lambda *words: told.append(words))
    names = {path.name for path in folder.rglob("*")}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"modeling_small.py", "pytorch_model.bin", "original"}
    assert told[0] == (f"downloading {ID}", 0, 0)
    assert told[-1][1] > 1


def test_no_network(there: Hub, alula: Callable) -> None:
    there.online = False
    result = alula("run", ID, "Hi", "--design", "tiny")
    assert (result.code, result.out) == (2, "")
    (line,) = result.errors
    assert line == (
        f"alula: {ID} must be a file or folder, or on the Hugging Face Hub and reachable, not so: "
        f"[Errno -2] Name or service not known; where there is a network: hf download {ID}"
    )


def test_no_such_repository(there: Hub) -> None:
    with pytest.raises(ModelError, match="not so: no such repository: someone/else;"):
        hub.fetched("someone/else", lambda *_: None)


def test_what_was_cut_off_is_fetched_again(there: Hub) -> None:
    """Files that are missing, and a file that was being written."""
    there.until = 2
    with pytest.raises(ModelError, match=f"^{ID} must have model.safetensors on the Hugging Face"):
        hub.fetched(ID, lambda *_: None)
    there.until = 99
    hub.fetched(ID, lambda *_: None)
    (there.folder.parents[1] / "blobs" / "abc.incomplete").touch()
    hub.fetched(ID, lambda *_: None)
    assert there.calls == [True, False] * 3


def test_shards_are_counted(there: Hub) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (there.files / "model.safetensors.index.json").write_text(json.dumps(index))
    (there.files / "model.safetensors").rename(there.files / "model-1.safetensors")
    with pytest.raises(ModelError, match=r"must have model-2.safetensors on the Hugging Face Hub"):
        hub.fetched(ID, lambda *_: None)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_flipped_bit(there: Hub, name: str) -> None:
    path = hub.fetched(ID, lambda *_: None) / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name} must be the bytes that the Hub has, not others"):
        hub.fetched(ID, lambda *_: None)


def test_a_folder_of_the_name_comes_first(there: Hub, tmp_path: Path) -> None:
    (tmp_path / ID).mkdir(parents=True)
    assert models.resolve(ID) == ID
    assert there.calls == []


def test_a_full_disk_is_told_as_such(there: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **options: Any) -> str:
        raise OSError(28, "No space left on device", "blob")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match="No space left"):
        hub.fetched(ID, lambda *_: None)


@pytest.mark.parametrize("name", ["models/tiny.gguf", "a/b/c", "./a", "a/", "a b/c", "x", "../a"])
def test_no_id(name: str) -> None:
    assert not hub.is_hub_id(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smollm2-135n", "(no such file: smollm2-135n; did you mean smollm2-135m?)"),
        ("models/tiny.gguf", "(no such file: models/tiny.gguf)"),
    ],
)
def test_no_such_model(name: str, words: str) -> None:
    with pytest.raises(ModelError) as caught:
        models.resolve(name)
    assert str(caught.value).startswith("the model must be a GGUF file, a folder, package.module:")
    assert str(caught.value).endswith(f"or smollm2-135m, not a missing one {words}")
