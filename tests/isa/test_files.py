"""Program and image files: whole or not at all, and one clear line for whatever is wrong."""

import errno
import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alula.isa import ContainerError, Image, IsaError, Op, Program, Region, assemble, encode_all
from alula.isa.container import ALIGNMENT, read_container, write_container

from .strategies import listings

CODE = encode_all(assemble("LI rd=r1 value=7\nLOOP count=r1 body=1\nNOP\nEND"))
PROGRAM = Program(
    "decode",
    "0123abcd",
    CODE,
    {2: 0, 31: 0xFFFF_FFFF},
    {"position": 3, "tokens": 4},
    ("", "layers.{layer}", "layers.{layer}", "head"),
    {1: 2},
)
IMAGE = Image(
    "0123abcd",
    np.arange(5 * 64, dtype=np.uint8).reshape(5, 64),
    {"ids": Region(0, 2), "hidden": Region(2, 3), "kv": Region(5, 1000, stored=False)},
)
LOADERS = {Program: (PROGRAM, b"ALULAPRG"), Image: (IMAGE, b"ALULAIMG")}
EACH = pytest.mark.parametrize("kind", LOADERS, ids=lambda kind: kind.__name__)

registers = st.integers(1, 31)
words = st.integers(0, 0xFFFF_FFFF)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "file.bin"


def refusal(kind, path: Path) -> str:
    """What loading says, without the file's name; nothing but a ContainerError of one line."""
    with pytest.raises(ContainerError) as error:
        kind.load(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert " must be " in text or " must end " in text
    return text.removeprefix(f"{path}: ")


def rewrite(kind, path: Path, change) -> None:
    """Save a good file with its header changed by `change`."""
    good, magic = LOADERS[kind]
    good.save(path)
    header, payload = read_container(path, magic)
    payload = payload.tobytes()
    change(header)
    write_container(path, magic, header, [payload])


def test_a_program_comes_back(path):
    PROGRAM.save(path)
    assert Program.load(path) == PROGRAM
    assert len(PROGRAM) == 4
    assert [op.name for op in Program.load(path).ops] == ["LI", "LOOP", "NOP", "END"]


@given(
    st.builds(
        Program,
        st.text(),
        st.text(),
        listings().map(encode_all),
        st.dictionaries(registers, words),
        st.dictionaries(st.text(), registers),
    )
)
@settings(max_examples=25)
def test_any_program_comes_back(program):
    with tempfile.TemporaryDirectory() as folder:
        program.save(Path(folder) / "p")
        assert Program.load(Path(folder) / "p") == program


def test_an_image_comes_back(path):
    IMAGE.save(path)
    image = Image.load(path)
    assert (image.design_hash, image.regions) == (IMAGE.design_hash, IMAGE.regions)
    assert np.array_equal(image.data, IMAGE.data)
    assert image.data.dtype == np.uint8
    assert image.beats == IMAGE.beats == 1005


@pytest.mark.parametrize("data", [np.zeros((0, 64), np.uint8), np.ones((3, 8), np.uint8)[::2]])
def test_empty_and_strided_images_come_back(path, data):
    Image("", data, {}).save(path)
    assert np.array_equal(Image.load(path).data, data)
    assert Image.load(path).data.shape == data.shape
    assert Image.load(path).beats == 0


def test_a_loaded_image_is_private(path):
    IMAGE.save(path)
    Image.load(path).data[0, 0] = 99
    assert Image.load(path).data[0, 0] == 0


@EACH
def test_the_payload_starts_at_a_page(kind, path):
    good, magic = LOADERS[kind]
    good.save(path)
    data = path.read_bytes()
    assert data[:8] == magic
    expected = CODE if kind is Program else IMAGE.data.tobytes()
    assert data[ALIGNMENT:] == expected


@EACH
def test_the_same_contents_are_the_same_bytes(kind, tmp_path):
    good, _ = LOADERS[kind]
    good.save(tmp_path / "a")
    kind.load(tmp_path / "a").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@EACH
def test_a_file_cut_anywhere_is_refused(kind, path):
    good, _ = LOADERS[kind]
    good.save(path)
    data = path.read_bytes()
    cuts = {*range(400), *range(400, len(data), 97), *range(len(data) - 70, len(data))}
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        refusal(kind, path)


@EACH
@given(data=st.data())
@settings(max_examples=100)
def test_a_file_with_changed_bytes_loads_or_is_refused(kind, data):
    good, _ = LOADERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        good.save(path)
        contents = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, 500) | st.integers(0, len(contents) - 1))
            contents[place] = data.draw(st.sampled_from(b'0-9"[]{}:,\0\xff') | st.integers(0, 255))
        path.write_bytes(contents)
        try:
            kind.load(path)
        except ContainerError as error:
            text = str(error)
        else:
            text = ""
        assert "\n" not in text


def test_altered_code_is_refused(path):
    PROGRAM.save(path)
    data = bytearray(path.read_bytes())
    for place in range(ALIGNMENT, len(data), 7):
        data[place] ^= 1
        path.write_bytes(data)
        assert refusal(Program, path).startswith("sha256 must be ")
        data[place] ^= 1


@EACH
def test_other_files_are_refused(kind, path):
    _, magic = LOADERS[kind]
    name = magic.decode()
    other = IMAGE if kind is Program else PROGRAM
    other.save(path)
    other_magic = path.read_bytes()[:8]
    assert refusal(kind, path) == f"magic must be {name}, not {other_magic!r}"
    path.write_bytes(b"")
    assert refusal(kind, path) == f"magic must be {name}, not b''"
    path.write_bytes(magic + b"\xff" * 8)
    assert refusal(kind, path) == f"header must be {(1 << 64) - 1} bytes, not 0"
    path.write_bytes(magic + (5).to_bytes(8, "little") + b"{" + bytes(ALIGNMENT))
    assert refusal(kind, path) == "header must be JSON, not b'{\\x00\\x00\\x00\\x00'"
    path.write_bytes(magic + (2).to_bytes(8, "little") + b"[]" + bytes(ALIGNMENT))
    assert refusal(kind, path) == "header must be a mapping, not []"
    deep = b"[" * 100_000
    path.write_bytes(magic + len(deep).to_bytes(8, "little") + deep + bytes(ALIGNMENT))
    assert refusal(kind, path) == "header must be JSON, not b'[[[[[[[[[[[[[[[[[[[['"
    path.write_bytes(magic + (2).to_bytes(8, "little") + b"{}" + bytes(ALIGNMENT))
    assert refusal(kind, path) == "payload_bytes must be a whole number, not missing"


@EACH
def test_a_file_that_cannot_be_opened_is_refused(kind, tmp_path):
    text = refusal(kind, tmp_path / "none")
    assert text == "must be readable, not: No such file or directory"
    assert refusal(kind, tmp_path) == "must be readable, not: Is a directory"


HEADERS = [
    (Program, "payload_bytes", "64", 'payload_bytes must be a whole number, not "64"'),
    (Program, "payload_bytes", True, "payload_bytes must be a whole number, not true"),
    (Program, "payload_bytes", 64.0, "payload_bytes must be a whole number, not 64.0"),
    (Program, "payload_bytes", -1, "payload_bytes must be at least 0, not -1"),
    (Program, "payload_bytes", 65, "payload must be 65 bytes, not 64"),
    (Program, "payload_bytes", 63, "payload must be 63 bytes, not 64"),
    (Program, "sha256", 7, "sha256 must be text, not 7"),
    (
        Program,
        "sha256",
        "x" * 100,
        f"sha256 must be {hashlib.sha256(CODE).hexdigest()}, not {'x' * 64!r}",
    ),
    (Program, "name", ["a"], 'name must be text, not ["a"]'),
    (Program, "name", "x" * 9, None),
    (Program, "design_hash", 5, "design_hash must be text, not 5"),
    (Program, "constants", [1], "constants must be a mapping, not [1]"),
    (Program, "constants", {"x": 1}, "register of a constant must be 1..31, not 'x'"),
    (Program, "constants", {"0": 1}, "register of a constant must be 1..31, not '0'"),
    (Program, "constants", {"01": 1}, "register of a constant must be 1..31, not '01'"),
    (Program, "constants", {"32": 1}, "register of a constant must be 1..31, not '32'"),
    (Program, "constants", {"1": -1}, "constant r1 must be 0..4294967295, not -1"),
    (Program, "constants", {"1": 1 << 32}, "constant r1 must be 0..4294967295, not 4294967296"),
    (Program, "constants", {"1": 1.5}, "constant r1 must be a whole number, not 1.5"),
    (Program, "constants", {"1": None}, "constant r1 must be a whole number, not missing"),
    (Program, "inputs", "none", 'inputs must be a mapping, not "none"'),
    (Program, "inputs", {"position": 0}, "input 'position' must be 1..31, not 0"),
    (Program, "inputs", {"a\nb": 32}, "input 'a\\nb' must be 1..31, not 32"),
    (Program, "inputs", {"a": "r1"}, "input 'a' must be a whole number, not \"r1\""),
    (Program, "origins", {}, "origins must be a list, not {}"),
    (Program, "origins", [], None),
    (Program, "origins", ["a"] * 3, "origins must be 0 or 4, not 3"),
    (Program, "origins", ["a", "b", "c", 4], "origin must be text, not 4"),
    (Program, "layer_loops", 1, "layer_loops must be a mapping, not 1"),
    (Program, "layer_loops", {"4": 0}, "layer loop must be 0..3, not '4'"),
    (Program, "layer_loops", {"01": 0}, "layer loop must be 0..3, not '01'"),
    (Program, "layer_loops", {"1": -1}, "first layer of loop 1 must be 0..4294967295, not -1"),
    (Program, "layer_loops", {"1": "a"}, 'first layer of loop 1 must be a whole number, not "a"'),
    (Image, "payload_bytes", 321, "payload must be 321 bytes, not 320"),
    (Image, "design_hash", None, "design_hash must be text, not missing"),
    (Image, "beat_bytes", 0, "beat_bytes must be at least 1, not 0"),
    (Image, "beat_bytes", "64", 'beat_bytes must be a whole number, not "64"'),
    (Image, "beat_bytes", 63, "payload must be whole beats of 63 bytes, not 320"),
    (Image, "beat_bytes", 1 << 70, f"payload must be whole beats of {1 << 70} bytes, not 320"),
    (Image, "regions", [], "regions must be a mapping, not []"),
    (Image, "regions", {"a": 5}, "region 'a' must be a list, not 5"),
    (Image, "regions", {"a": [0, 1]}, "region 'a' must be a list of 3, not of 2"),
    (Image, "regions", {"a": [-1, 1, True]}, "region 'a' start must be at least 0, not -1"),
    (Image, "regions", {"a": [0, -1, True]}, "region 'a' beats must be at least 0, not -1"),
    (Image, "regions", {"a": [0, 1, 1]}, "region 'a' stored must be true or false, not 1"),
    (
        Image,
        "regions",
        {"a": [0, "x" * 99, True]},
        f"region 'a' beats must be a whole number, not \"{'x' * 36}...",
    ),
    (
        Image,
        "regions",
        {"a": [3, 3, True]},
        "region 'a' must end within the 5 beats stored, not at 6",
    ),
    (Image, "regions", {"a": [3, 3, False]}, None),
]


@pytest.mark.parametrize(("kind", "key", "value", "message"), HEADERS)
def test_what_a_wrong_header_is_told(path, kind, key, value, message):
    rewrite(kind, path, lambda header: header.update({key: value}))
    if message is None:
        kind.load(path)
    else:
        assert refusal(kind, path) == message


@EACH
def test_every_key_is_needed_and_named(kind, path):
    good, magic = LOADERS[kind]
    good.save(path)
    keys = list(read_container(path, magic)[0])
    assert len(keys) >= 4
    for key in keys:
        rewrite(kind, path, lambda header, key=key: header.pop(key))
        text = refusal(kind, path)
        assert text.startswith(f"{key} must be ")
        assert text.endswith(", not missing")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@EACH
@given(data=st.data())
@settings(max_examples=80)
def test_any_value_in_a_header_loads_or_is_refused(kind, data):
    good, magic = LOADERS[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        good.save(path)
        key = data.draw(st.sampled_from(sorted(read_container(path, magic)[0])))
        rewrite(kind, path, lambda header: header.update({key: data.draw(json_values)}))
        try:
            kind.load(path)
        except ContainerError as error:
            text = str(error)
        else:
            text = ""
        assert "\n" not in text


def test_code_that_is_not_whole_words_is_refused(path):
    Program("p", "", CODE[:-1], {}, {}).save(path)
    assert refusal(Program, path) == "code must be whole words of 16 bytes, not 63"


def test_code_that_means_nothing_is_named_with_its_address():
    program = Program("prefill", "", CODE + bytes(16), {}, {})
    with pytest.raises(IsaError) as error:
        _ = program.ops
    assert str(error.value) == ("prefill: instruction 4: opcode must be a declared one, not 0x00")


class FullDisk:
    """A file that takes so many writes and then fails."""

    def __init__(self, file, writes: int, failure: BaseException):
        self.file, self.writes, self.failure = file, writes, failure

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.file.close()

    def write(self, data):
        if self.writes == 0:
            raise self.failure
        self.writes -= 1
        return self.file.write(data)


FAILURES = [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()]


@EACH
@pytest.mark.parametrize("before", [None, b"what stood here"])
@pytest.mark.parametrize("writes", [0, 1, 2])
@pytest.mark.parametrize("failure", FAILURES, ids=["full disk", "Ctrl-C"])
def test_an_interrupted_write_leaves_nothing(kind, path, monkeypatch, before, writes, failure):
    if before is not None:
        path.write_bytes(before)
    opened = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *how: FullDisk(opened(*how), writes, failure))
    with pytest.raises(type(failure)):
        LOADERS[kind][0].save(path)
    assert [item.name for item in path.parent.iterdir()] == ([path.name] if before else [])
    if before:
        assert path.read_bytes() == before


@EACH
def test_a_failing_rename_leaves_nothing(kind, path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        LOADERS[kind][0].save(path)
    assert list(path.parent.iterdir()) == []


def test_a_header_that_is_not_json_leaves_nothing(path):
    with pytest.raises(TypeError):
        write_container(path, b"X", {"a": object()}, [])
    assert list(path.parent.iterdir()) == []


@EACH
def test_a_file_replaces_one_that_was_there_and_makes_its_folder(kind, tmp_path):
    path = tmp_path / "a" / "b"
    LOADERS[kind][0].save(path)
    size = path.stat().st_size
    path.write_bytes(b"old")
    LOADERS[kind][0].save(path)
    assert path.stat().st_size == size
    assert [item.name for item in path.parent.iterdir()] == ["b"]


@EACH
def test_what_is_no_regular_file_stays_what_it_is(kind, tmp_path):
    saved, fifo, link = LOADERS[kind][0], tmp_path / "fifo", tmp_path / "link"
    saved.save(tmp_path / "file")
    link.symlink_to("target")
    saved.save(link)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == (tmp_path / "file").read_bytes()
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    saved.save(fifo)
    assert os.read(reader, 1 << 16) == (tmp_path / "file").read_bytes()
    os.close(reader)
    assert fifo.is_fifo()


def test_headers_are_sorted_json(path):
    PROGRAM.save(path)
    data = path.read_bytes()
    length = int.from_bytes(data[8:16], "little")
    header = json.loads(data[16 : 16 + length])
    assert list(header) == sorted(header)
    assert header["constants"] == {"2": 0, "31": 0xFFFF_FFFF}
    assert set(data[16 + length : ALIGNMENT]) == {0}


def test_an_op_of_a_program_is_one_instruction():
    assert PROGRAM.ops[0] == Op("LI", {"rd": 1, "value": 7})
