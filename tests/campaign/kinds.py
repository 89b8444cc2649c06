"""The kinds of input: what is written into a folder at random, and the command that reads it."""

import json
import os
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.campaign import sources
from tests.campaign.mutation import SIZES, TEXTS, changed, damaged, packed, text, value

from alula.isa import Op, Program, Ref, encode_all
from alula.isa.fields import Choice, Immediate, Operand
from alula.isa.instructions import INSTRUCTIONS

_DEEPEST = 20_000
SMALL = ("--design", "nano", "--context", "32", "--json")


@dataclass(frozen=True)
class Input:
    """Files in a folder, and what reads them.

    Attributes:
        words: the command's, or a name that begins with "@" of `tests.campaign.commands`.
        out: what the command may write.
        environment: set while it runs.
        answers: it must end well and print what the undamaged one does.
    """

    words: list[str]
    out: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    answers: bool = False


@dataclass(frozen=True)
class Place:
    """Where an input is made.

    Attributes:
        folder: empty, of the input alone.
        model: a good Hugging Face folder.
        cache: a cache that holds that model's build.
    """

    folder: Path
    model: Path
    cache: Path


Maker = Callable[[Random, Place], Input]


def _gguf(random: Random, place: Place) -> Input:
    pairs = dict(sources.gguf_pairs())
    rows, data = sources.gguf_rows()
    rows = list(rows)
    path = place.folder / "model.gguf"
    way = random.random()
    texts = False
    if way < 0.4:
        whole = sources.gguf(pairs, rows, data)
        path.write_bytes(damaged(random, whole, len(whole) - len(data)))
    else:
        for _ in range(random.choice((1, 1, 2, 4))):
            key = random.choice(list(pairs))
            texts |= key.startswith("tokenizer")
            match random.randrange(5):
                case 0:
                    del pairs[key]
                case 1:
                    pairs[key] = damaged(random, pairs[key])
                case 2:
                    pairs[random.choice(TEXTS)] = _gguf_value(random)
                case _:
                    pairs[key] = _gguf_value(random, pairs[key])
        if way > 0.85:
            at = random.randrange(len(rows))
            rows[at] = random.choice((damaged(random, rows[at]), rows[at - 1]))
        path.write_bytes(sources.gguf(pairs, rows, data))
    return Input(_reads(random, path, texts))


def _gguf_value(random: Random, like: bytes | None = None) -> bytes:
    """A value of any kind, or of the kind of another."""
    kinds = (*sources.FORMATS, sources.STRING, sources.ARRAY)
    kind = int.from_bytes(like[:4], "little") if like else -1
    if kind not in kinds or random.random() < 0.4:
        kind = random.choice(kinds)
    head = struct.pack("<I", kind)
    if kind == sources.STRING:
        return head + sources.gguf_text(random.choice(TEXTS) * random.choice((1, 1, 1, 200)))
    if kind != sources.ARRAY:
        return head + packed(sources.FORMATS[kind], random)
    element = random.choice((*sources.FORMATS, sources.STRING))
    count = random.choice((0, 1, 2, sources.VOCABULARY, sources.VOCABULARY, 3000))
    if element == sources.STRING:
        items = b"".join(sources.gguf_text(random.choice(TEXTS)) for _ in range(min(count, 300)))
    else:
        items = b"".join(packed(sources.FORMATS[element], random) for _ in range(count))
    if random.random() < 0.2:
        count = random.choice(SIZES)
    return head + struct.pack("<IQ", element, count) + items


def _reads(random: Random, model: Path, texts: bool) -> list[str]:
    """A command that reads a model, with its tokenizer where that is what was changed."""
    if texts:
        return ["run", str(model), random.choice(("hi", "")), "--max-new-tokens", "1", *SMALL]
    if random.random() < 0.2:
        return ["run", str(model), "--prompt-ids", "5,6", "--max-new-tokens", "1", *SMALL]
    return ["compile", str(model), *SMALL]


CONFIGS = ("config.json",) * 8
TEXT_FILES = ("tokenizer.json",) * 3 + ("tokenizer_config.json",) * 2 + ("generation_config.json",)
OTHERS = ("model.safetensors",) * 4 + ("model.safetensors.index.json",) * 2


def _folder(random: Random, place: Place) -> Input:
    folder = place.folder / "model"
    shutil.copytree(place.model, folder)
    name = random.choice(CONFIGS + TEXT_FILES + OTHERS)
    path = folder / name
    way = random.random()
    if name == "model.safetensors.index.json":
        _shards(random, folder, path)
    elif way < 0.04:
        _no_regular_file(random, path)
    elif name == "model.safetensors":
        _safetensors(random, path)
    elif way < 0.15:
        path.write_bytes(damaged(random, path.read_bytes()))
    else:
        tree = changed(random, json.loads(path.read_text()))
        _write_text(path, _json(random, tree))
    if random.random() < 0.05:
        for extra in ("special_tokens_map.json", "added_tokens.json", "chat_template.jinja"):
            if random.random() < 0.5:
                _write_text(folder / extra, _json(random, value(random)))
    return Input(_reads(random, folder, name in TEXT_FILES))


def _json(random: Random, tree: Any) -> str:
    try:
        written = json.dumps(tree, ensure_ascii=True)
    except RecursionError:
        written = "[" * 5000
    return text(random, written) if random.random() < 0.05 else written


def _safetensors(random: Random, path: Path) -> None:
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    if random.random() < 0.6:
        path.write_bytes(damaged(random, whole, 8 + length))
        return
    head = _json(random, changed(random, json.loads(whole[8 : 8 + length]))).encode(
        "utf-8", "surrogatepass"
    )
    path.write_bytes(struct.pack("<Q", len(head)) + head + whole[8 + length :])


def _shards(random: Random, folder: Path, path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    names = dict.fromkeys(sources.tensors(), "part.safetensors")
    index: Any = {"metadata": {"total_size": 1}, "weight_map": names}
    if random.random() < 0.9:
        index = changed(random, deepcopy(index))
    _write_text(path, _json(random, index))
    if random.random() < 0.1:
        _no_regular_file(random, folder / "part.safetensors")


def _no_regular_file(random: Random, path: Path) -> None:
    """Put something else at a path, or nothing."""
    path.unlink(missing_ok=True)
    match random.randrange(6):
        case 0:
            os.mkfifo(path)
        case 1:
            path.mkdir()
        case 2:
            path.symlink_to(path)
        case 3:
            path.symlink_to("/dev/zero")
        case 4:
            # A socket's name is short.
            here = os.getcwd()
            os.chdir(path.parent)
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)
            os.chdir(here)
        case _:
            path.symlink_to("/nowhere")


def _yaml(random: Random, texts: tuple[str, ...], small: str) -> str:
    source = small if random.random() < 0.6 else random.choice(texts)
    if random.random() < 0.6:
        return text(random, source)
    import yaml

    tree = changed(random, yaml.safe_load(source))
    if random.random() < 0.5:
        return json.dumps(tree)
    try:
        return yaml.safe_dump(tree, allow_unicode=True)
    except (yaml.YAMLError, RecursionError, ValueError):
        return json.dumps(tree)


def _write_text(path: Path, content: str) -> None:
    path.write_bytes(content.encode("utf-8", "surrogatepass"))


def _design(random: Random, place: Place) -> Input:
    path = place.folder / "design.yaml"
    _write_text(path, _yaml(random, sources.design_texts(), sources.design_texts()[1]))
    if random.random() < 0.1:
        words = ["compile", str(place.model), "--design", str(path), "--context", "32", "--json"]
        return Input(words)
    listing, out = place.folder / "good.s", place.folder / "good.alula"
    listing.write_text(sources.LISTING)
    return Input(["asm", str(listing), "-o", str(out), "--design", str(path)], out)


def _sweep(random: Random, place: Place) -> Input:
    path = place.folder / "sweep.yaml"
    _write_text(path, _yaml(random, sources.sweep_texts(), sources.sweep_texts()[0]))
    return Input(["@sweep", str(path)])


def _listing(random: Random, place: Place) -> Input:
    path, out = place.folder / "a.s", place.folder / "a.alula"
    content = sources.LISTING
    if random.random() < 0.3:
        content = "\n".join(_line(random) for _ in range(random.choice((1, 5, 50)))) + "\nEND\n"
    if random.random() < 0.8:
        content = text(random, content)
    if random.random() < 0.1:
        path.write_bytes(damaged(random, content.encode("utf-8", "surrogatepass")))
    else:
        _write_text(path, content)
    if random.random() < 0.3:
        out.write_bytes(b"a program of the user's")
    return Input(["asm", str(path), "-o", str(out), "--design", "nano"], out)


def _line(random: Random) -> str:
    one = random.choice(INSTRUCTIONS)
    words = [one.name]
    for item in one.fields:
        number = random.choice((0, 1, 2, 5, 100, random.choice(SIZES)))
        match item:
            case Choice():
                words.append(f"{item.name}={random.choice(item.choices)}")
            case Immediate():
                words.append(f"{item.name}={number}")
            case Operand():
                words.append(
                    f"{item.name}={random.choice((f'r{number % 40}', number, f'r1+{number}'))}"
                )
            case _:
                words.append(f"{item.name}=r{number % 40}")
    return " ".join(words)


def _code(random: Random) -> list[Op]:
    ops = []
    for _ in range(random.choice((1, 4, 20))):
        one = random.choice(INSTRUCTIONS)
        fields: dict[str, Any] = {}
        for item in one.fields:
            match item:
                case Choice():
                    fields[item.name] = random.choice([name for name in item.choices if name])
                case Immediate():
                    fields[item.name] = random.choice((0, 1, 2, 5)) if item.bits > 2 else 0
                case Operand():
                    low = min(random.choice((0, 1, 2, 8, 64, 1 << 30)), (1 << item.bits) - 1)
                    fields[item.name] = Ref(random.choice((0, 0, 0, 1, 2, 3)), low)
                case _:
                    fields[item.name] = random.randrange(4)
        ops.append(Op(one.name, fields))
    return [*ops, Op("END")] if random.random() < 0.9 else ops


def _program(random: Random, place: Place) -> Input:
    path = place.folder / "p.alula"
    program = sources.program()
    if random.random() < 0.5:
        code = encode_all(_code(random))
        if random.random() < 0.3:
            code = damaged(random, code)
        registers = {number: random.choice(SIZES) & 0xFFFF_FFFF for number in (1, 2, 3)}
        origins = tuple(random.choice(TEXTS) for _ in range(len(code) // 16))
        inputs = {random.choice(TEXTS): 4} if random.random() < 0.2 else {}
        program = Program(random.choice(TEXTS), sources.NANO.hash, code, registers, inputs, origins)
    program.save(path)
    if random.random() < 0.4:
        path.write_bytes(damaged(random, path.read_bytes(), 700))
    elif random.random() < 0.4:
        _header(random, path)
    command = random.choice((["disasm"], ["disasm", "--json"], ["@run-program"]))
    return Input([*command, str(path)])


def _image(random: Random, place: Place) -> Input:
    path = place.folder / "i.alula"
    sources.image().save(path)
    if random.random() < 0.5:
        path.write_bytes(damaged(random, path.read_bytes(), 400))
    else:
        _header(random, path)
    return Input(["@load-image", str(path)])


def _header(random: Random, path: Path) -> None:
    """Change the JSON header of a program or an image, its lengths put right."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[8:16], "little")
    payload = whole[-(-(16 + length) // 4096) * 4096 :]
    head = _json(random, changed(random, json.loads(whole[16 : 16 + length]))).encode(
        "utf-8", "surrogatepass"
    )
    start = whole[:8] + len(head).to_bytes(8, "little") + head
    path.write_bytes(start + bytes(-len(start) % 4096) + payload)


def _cache(random: Random, place: Place) -> Input:
    cache = place.folder / "cache"
    shutil.copytree(place.cache, cache)
    found = sorted(path for path in cache.rglob("*") if path.is_file())
    path = random.choice(found)
    match random.randrange(6):
        case 0:
            _no_regular_file(random, path)
        case 1:
            path.write_bytes(path.read_bytes()[: random.randrange(path.stat().st_size + 1)])
        case 2:
            path.write_bytes(b"")
        case 3 if path.suffix == ".json":
            _write_text(path, _json(random, changed(random, json.loads(path.read_text()))))
        case _:
            path.write_bytes(damaged(random, path.read_bytes()))
    words = ["run", str(place.model), "hi", "--max-new-tokens", "2", *SMALL]
    return Input(words, environment={"ALULA_CACHE": str(cache)}, answers=True)


ARGUMENTS = ("--context", "--max-new-tokens", "--temperature", "--top-k", "--top-p", "--seed")


def _arguments(random: Random, place: Place) -> Input:
    words = ["run", str(place.model), "--prompt-ids", "5,6", *SMALL, "--max-new-tokens", "1"]
    for _ in range(random.choice((1, 2))):
        option = random.choice(
            (*ARGUMENTS, "--prompt-ids", "--map", "--design", "--stop", "--device")
        )
        number = random.choice(
            (str(random.choice(SIZES)), "9" * random.choice((20, 400, 5000)), "-1")
        )
        numbers = (number, "nan", "inf", "1e400", "0x10", f"5,{number}")
        words += [option, random.choice((*numbers, *(one for one in TEXTS if "\0" not in one)))]
    return Input(words)


KINDS: Mapping[str, tuple[int, Maker]] = {
    "gguf": (25, _gguf),
    "folder": (25, _folder),
    "design": (12, _design),
    "sweep": (8, _sweep),
    "listing": (11, _listing),
    "program": (11, _program),
    "image": (3, _image),
    "cache": (2, _cache),
    "arguments": (3, _arguments),
}
"""Each kind with its share, in hundredths."""
WITH_A_MODEL = ("folder", "design", "cache", "arguments")
"""Kinds whose inputs begin with a good model, compiled or not."""


def make(
    seed: int, number: int, place: Place, kinds: tuple[str, ...] = tuple(KINDS)
) -> tuple[str, Input]:
    """Write the files of an input; return its kind and what reads them."""
    random = Random(f"{seed}/{number}")
    (kind,) = random.choices(kinds, [KINDS[name][0] for name in kinds])
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEPEST)  # What is written may be nested deeper than Python itself goes.
    try:
        return kind, KINDS[kind][1](random, place)
    finally:
        sys.setrecursionlimit(usual)
