"""What a model is and what a file is: its bytes, not its name, size, date or neighbours."""

import io
import json
import os
import pickle
import shutil
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.frontend.test_gguf import write_gguf
from transformers import AutoModelForCausalLM

from alula.frontend import FrontendError, load
from alula.frontend.content import file_digests

INDEX = "model.safetensors.index.json"


def flip(path: Path, place: int) -> None:
    """Change one bit, and nothing that the file system tells."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(place if place >= 0 else status.st_size + place)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert path.stat().st_mtime_ns == status.st_mtime_ns


@pytest.fixture
def models(tmp_path: Path, random_model) -> dict[str, Path]:
    """The same kind of model in three forms."""
    places = {"file": tmp_path / "file", "shards": tmp_path / "shards"}
    random_model("llama2").save_pretrained(places["file"])
    random_model("llama2").save_pretrained(places["shards"], max_shard_size="100KB")
    return places | {"gguf": write_gguf(tmp_path / "model.gguf", random_model("qwen2"))}


def copied(path: Path, place: Path) -> Path:
    """A copy with dates of its own."""
    copy = shutil.copytree if path.is_dir() else shutil.copyfile
    return Path(copy(path, place))


class TestIdentity:
    """Equal bytes are the same model, other bytes another."""

    @pytest.mark.parametrize("form", ["file", "shards", "gguf"])
    def test_a_copy_is_the_same_model(self, models, tmp_path: Path, form: str) -> None:
        path = models[form]
        copy = copied(path, tmp_path / "copy")
        for file in [copy, *copy.glob("*")]:
            os.utime(file, (1, 1))
        assert load(copy).content_id == load(path).content_id

    @pytest.mark.parametrize("place", [-1, -5000, -100_000])
    @pytest.mark.parametrize("form", ["file", "shards", "gguf"])
    def test_one_bit_is_another_model(self, models, form: str, place: int) -> None:
        path = models[form]
        first = load(path).content_id
        if path.is_dir():
            for file in sorted(path.glob("*.safetensors")):
                before = load(path).content_id
                flip(file, max(place, 2000 - file.stat().st_size))
                assert load(path).content_id not in (first, before)
        else:
            flip(path, place)
            assert load(path).content_id != first

    def test_another_configuration_is_another_model(self, models) -> None:
        path = models["file"]
        first = load(path).content_id
        config = path / "config.json"
        config.write_text(config.read_text().replace('"vocab_size"', ' "vocab_size"'))
        assert load(path).content_id != first

    def test_of_a_gguf_file_it_is_its_sha256(self, models) -> None:
        assert load(models["gguf"]).content_id == file_digests([models["gguf"]])[0]

    def test_large_files_tell_how_far_they_are(self, tmp_path: Path, monkeypatch) -> None:
        from alula.frontend import content

        monkeypatch.setattr(content, "_LARGE", 1)
        told: list[tuple[str, int, int]] = []
        paths = [tmp_path / str(number) for number in range(3)]
        for path in paths:
            path.write_bytes(os.urandom(content._CHUNK + 5))
        digests = file_digests(paths, lambda *step: told.append(step))
        assert len(set(digests)) == 3
        total = 3 * (content._CHUNK + 5)
        assert told[-1] == ("hashing the model", total, total)
        assert [step[1] for step in told] == sorted(step[1] for step in told)


class TestWhichFilesAreRead:
    """Of several weights in a folder those that transformers reads; the rest is told."""

    @pytest.fixture
    def both(self, tmp_path: Path, random_model) -> Path:
        """A folder of shards that now holds one file of another model as well."""
        old, new = random_model("llama2"), random_model("llama2")
        with torch.no_grad():
            for parameter in new.parameters():
                parameter.mul_(1.5)
        old.save_pretrained(tmp_path / "both", max_shard_size="100KB")
        new.save_pretrained(tmp_path / "new")
        shutil.copyfile(
            tmp_path / "new" / "model.safetensors", tmp_path / "both" / "model.safetensors"
        )
        return tmp_path / "both"

    def same_as_transformers(self, path: Path) -> None:
        model = AutoModelForCausalLM.from_pretrained(path)
        ours = load(path)
        state = model.state_dict()
        torch.testing.assert_close(
            torch.from_numpy(ours.tensor("layers.1.mlp.down.weight")),
            state["model.layers.1.mlp.down_proj.weight"],
            atol=0,
            rtol=0,
        )

    def test_the_file_before_the_index(self, both: Path) -> None:
        self.same_as_transformers(both)
        notes = load(both).notes
        shards = sorted(path.name for path in both.glob("model-*"))
        assert len(shards) > 1
        assert [note.partition(" ")[0] for note in notes] == [*shards, INDEX]
        assert all("not read: the weights are those of model.safetensors" in it for it in notes)

    def test_shards_without_the_file(self, both: Path) -> None:
        (both / "model.safetensors").unlink()
        self.same_as_transformers(both)
        assert load(both).notes == ()

    def test_an_index_that_was_left_is_no_obstacle(self, both: Path) -> None:
        for path in both.glob("model-*"):
            path.unlink()
        self.same_as_transformers(both)
        (both / INDEX).write_text("{")
        assert load(both).notes == (
            f"{INDEX} is not read: the weights are those of model.safetensors",
        )

    def test_a_shard_that_no_index_names_is_told(self, both: Path) -> None:
        (both / "model.safetensors").rename(both / "model-00099-of-00099.safetensors")
        self.same_as_transformers(both)
        (note,) = load(both).notes
        assert note.startswith("model-00099-of-00099.safetensors is not read")
        assert INDEX in note

    @pytest.mark.parametrize("name", ["model.safetensors", "other.safetensors", INDEX])
    def test_what_the_configuration_names(self, both: Path, name: str) -> None:
        if name.startswith("other"):
            (both / "model.safetensors").rename(both / name)
        config = json.loads((both / "config.json").read_text())
        (both / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))
        self.same_as_transformers(both)

    @pytest.mark.parametrize("name", ["../x.safetensors", "model.bin", 3, ["a"]])
    def test_what_the_configuration_must_not_name(self, both: Path, name: object) -> None:
        config = json.loads((both / "config.json").read_text())
        (both / "config.json").write_text(json.dumps(config | {"transformers_weights": name}))
        with pytest.raises(FrontendError, match=r"^transformers_weights must be safetensors of"):
            load(both)

    def test_an_adapter_beside_the_weights(self, both: Path) -> None:
        (both / "adapter_config.json").write_text("{}")
        with pytest.raises(FrontendError, match=r"^an adapter must be merged into the weights"):
            load(both)


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.place,))


def tarred(trap: Trap) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        text = pickle.dumps(trap)
        member = tarfile.TarInfo("pickle")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return data.getvalue()


def saved(trap: Trap, zipped: bool) -> bytes:
    data = io.BytesIO()
    state = {"weight": trap, "other": torch.zeros(3)}
    torch.save(state, data, _use_new_zipfile_serialization=zipped)
    return data.getvalue()


PICKLES: dict[str, Callable[[Trap], bytes]] = {
    **{
        f"protocol {protocol}": lambda trap, protocol=protocol: pickle.dumps(trap, protocol)
        for protocol in range(6)
    },
    **{
        f"a state of protocol {protocol}": lambda trap, protocol=protocol: pickle.dumps(
            OrderedDict(
                (f"layer.{number}", [1.5, 2, trap, "x" * 99, None, True]) for number in range(3000)
            ),
            protocol,
        )
        for protocol in (0, 1)
    },
    "torch": lambda trap: saved(trap, True),
    "torch of old": lambda trap: saved(trap, False),
    "tar": tarred,
}


class TestKind:
    """The name of a file says nothing."""

    @pytest.mark.parametrize("name", ["m.bin", "m.pkl", "m.pt", "m.safetensors", "m", "m.zip"])
    def test_a_gguf_file_of_any_name(self, models, tmp_path: Path, name: str) -> None:
        copy = copied(models["gguf"], tmp_path / name)
        assert load(copy).content_id == load(models["gguf"]).content_id

    @pytest.mark.parametrize("name", ["m.gguf", "m.bin", "m.safetensors"])
    def test_a_safetensors_file_of_any_name(self, models, tmp_path: Path, name: str) -> None:
        copy = copied(models["file"] / "model.safetensors", tmp_path / name)
        with pytest.raises(
            FrontendError, match=r"must be the folder with config.json, not one fil"
        ):
            load(copy)

    @pytest.mark.parametrize("name", ["m.gguf", "m.bin", "m.safetensors"])
    @pytest.mark.parametrize("kind", PICKLES)
    def test_a_pickle_of_any_name(self, tmp_path: Path, name: str, kind: str) -> None:
        path, sprung = tmp_path / name, tmp_path / "sprung"
        path.write_bytes(PICKLES[kind](Trap(sprung)))
        with pytest.raises(FrontendError, match="not a pickle: nothing is executed"):
            load(path)
        assert not sprung.exists()

    @pytest.mark.parametrize("text", [b"S'\\#'\n.", b"c\\#\n\\#\n)R."])
    def test_a_pickle_of_which_python_warns(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / "m.bin").write_bytes(text)
        with pytest.raises(FrontendError, match="not a pickle: nothing is executed"):
            load(tmp_path / "m.bin")

    def test_a_shard_of_any_name(self, models) -> None:
        path = models["shards"]
        expected = load(path).tensor("embed.weight")
        index = json.loads((path / INDEX).read_text())
        names = {
            name: name.replace(".safetensors", ".bin") for name in index["weight_map"].values()
        }
        for name, other in names.items():
            (path / name).rename(path / other)
        mapped = {key: names[name] for key, name in index["weight_map"].items()}
        (path / INDEX).write_text(json.dumps(index | {"weight_map": mapped}))
        assert (load(path).tensor("embed.weight") == expected).all()

    def test_a_pickle_among_the_shards(self, models, tmp_path: Path) -> None:
        shard = min(models["shards"].glob("*.safetensors"))
        shard.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
        with pytest.raises(FrontendError, match=f"not a pickle: .*{shard.name}"):
            load(models["shards"])
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        "text", [b"", b"hello\n", b'{"a": 1}', b"I am a model. Or not.\n" * 99]
    )
    def test_another_file(self, tmp_path: Path, text: bytes) -> None:
        (tmp_path / "m").write_bytes(text)
        with pytest.raises(FrontendError, match=r"must be b'GGUF'|must go on after byte"):
            load(tmp_path / "m")

    def test_a_folder_around_a_gguf_file(self, models, tmp_path: Path) -> None:
        folder = tmp_path / "around"
        folder.mkdir()
        copied(models["gguf"], folder / "weights.bin")
        line = r"^the model must be the GGUF file weights.bin, not the folder around it"
        with pytest.raises(FrontendError, match=line):
            load(folder)

    def test_no_file_at_all(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "m.gguf")
        for place in (tmp_path / "m.gguf", Path("/dev/zero")):
            with pytest.raises(FrontendError, match=r"must be readable, not Is a (FIFO|device)"):
                load(place)
