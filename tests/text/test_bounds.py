"""Tokenizers and templates that ask for too much, or end their process, end as one line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import write_byte_tokenizer

from alula.runtime import TokenizerError, tokenizer_folder
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.tokenizer_sources import open_tokenizer
from alula.text.budget import Budget
from alula.text.tokenizer import Settings

ASKED = [{"role": "user", "content": "hi"}]
TIME = r"more than \d+ s of processor time"
MEMORY = "more memory than it may have"
DEPTH = "maximum recursion depth exceeded|too many statically nested blocks"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts and templates have little time."""
    monkeypatch.setattr(Budget, "of_text", lambda size: Budget(0.3, 3 << 29))


def with_template(folder: Path, template: str | None) -> BoundedTokenizer:
    """Return a tokenizer whose token is a byte, with a chat template."""
    write_byte_tokenizer(folder)
    Settings(template, (1,), {}).save(folder / "settings.json")
    return BoundedTokenizer(folder)


@pytest.fixture
def model(tmp_path: Path, cache: Path) -> Path:
    """A model's folder with a tokenizer whose token is a byte, and no weights."""
    place = tmp_path / "model"
    place.mkdir()
    write_byte_tokenizer(place)
    change(place / "config.json", model_type="llama", eos_token_id=1)
    return place


def change(file: Path, **values: Any) -> None:
    """Set keys of a JSON file."""
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | values))


def nested(inner: str, count: int) -> str:
    return "{% for a in range(99999) %}" * count + inner + "{% endfor %}" * count


DOUBLED = """{% set n = namespace(x='aa') %}
{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"""


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (nested("", 3), TIME),
        (nested("a" * 99, 3), f"{TIME}|{MEMORY}"),
        ("{{ lipsum(n=9999, max=99999) }}", TIME),
        ("{{ ('a.' * 1000000) | urlize }}", TIME),
        ("{{ [1] | slice(9999999999) | list }}", f"{TIME}|{MEMORY}"),
        ("{{ ('a\n' * 999999) | indent(99999) }}", f"{TIME}|{MEMORY}"),
        ("{{ 'a' * 9999999999 }}", MEMORY),
        ("{{ 'a' | center(99999999999) }}", MEMORY),
        ("{{ '%99999999999d' | format(1) }}", MEMORY),
        (DOUBLED, f"{TIME}|{MEMORY}"),
        ("{% macro m(x) %}{{ m(x + 1) }}{% endmacro %}{{ m(1) }}", DEPTH),
        ("{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", DEPTH),
        ("{{ " + "[" * 9999 + "]" * 9999 + " }}", DEPTH),
        (nested("", 30), DEPTH),
        ("{{ raise_exception('a\nb') }}", "must take this, not fail: a b$"),
        (r"{{ '\ud800' }}", r"not hold a lone surrogate \(character 0\)"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_templates_without_end(tmp_path: Path, template: str, words: str) -> None:
    tokenizer = with_template(tmp_path, template)
    start = time.monotonic()
    with pytest.raises(TokenizerError, match=words) as caught:
        tokenizer.encode_chat(ASKED)
    assert time.monotonic() - start < 10
    assert "\n" not in str(caught.value)
    # The next request is answered as if nothing had been.
    assert tokenizer.decode(tokenizer.encode("hi")) == "hi"


def replaced(regex: str, by: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": regex}, "content": by}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        # An allocation of 4 GB, which Rust answers by an abort.
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}}, MEMORY),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "Cannot parse"),
        ({"normalizer": replaced("", "x")}, "index out of bounds"),
        ({"pre_tokenizer": {"type": "FixedLength", "length": 0}}, "chunk size must be non-zero"),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "q", "type_id": 0}}],
                    "pair": [],
                    "special_tokens": {},
                }
            },
            "no entry found for key|Missing SpecialToken",
        ),
        ({"normalizer": {"type": "Sequence", "normalizers": [replaced(".", "a" * 9)] * 12}}, TIME),
        ({"model": 3}, "tokenizer.json must be a tokenizer, not: "),
        ({"added_tokens": [{"id": 2**70}]}, "."),
    ],
)
def test_tokenizers_that_break(
    model: Path, monkeypatch: pytest.MonkeyPatch, part: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr(Budget, "of_file", lambda size: Budget(1, 3 << 29))
    change(model / "tokenizer.json", **part)
    with pytest.raises(TokenizerError, match=words) as caught:
        open_tokenizer(model, "")
    assert str(caught.value).startswith(str(model))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("impatient")
def test_a_text_that_grows(tmp_path: Path) -> None:
    write_byte_tokenizer(tmp_path)
    grows = {"type": "Sequence", "normalizers": [replaced("x", "xxxxxxxxx")] * 12}
    change(tmp_path / "tokenizer.json", normalizer=grows)
    Settings(None, (), {}).save(tmp_path / "settings.json")
    tokenizer = BoundedTokenizer(tmp_path)
    assert tokenizer.decode(tokenizer.encode("hi")) == "hi"
    with pytest.raises(TokenizerError, match=f"{TIME}|{MEMORY}"):
        tokenizer.encode("x")
    assert tokenizer.decode(tokenizer.encode("hi")) == "hi"


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("tokenizer_config.json", {"bos_token": "\ud800"}, "surrogates not allowed"),
        ("tokenizer_config.json", {"chat_template": 3}, "chat_template must be text, not a int"),
        ("tokenizer_config.json", {"chat_template": ["a"]}, "string indices must be integers"),
        ("tokenizer_config.json", {"bos_token": {"content": "<s>"}}, "bos_token|unhashable"),
        ("generation_config.json", {"eos_token_id": "1"}, "eos_token_id must be a token id or a l"),
        ("generation_config.json", {"eos_token_id": True}, "eos_token_id must be a token id or a "),
        ("generation_config.json", {"eos_token_id": [1, 2.0]}, "eos_token_id must be a token id"),
        ("generation_config.json", {"eos_token_id": [[1]]}, "eos_token_id must be a token id or a"),
    ],
)
def test_settings_that_cannot_be(
    model: Path, name: str, values: dict[str, Any], words: str
) -> None:
    change(model / name, **values)
    with pytest.raises(TokenizerError, match=words) as caught:
        open_tokenizer(model, "")
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer_config.json", b"{", "tokenizer_config.json must be JSON, not: "),
        ("special_tokens_map.json", b"[1]", "special_tokens_map.json must be a JSON object, not"),
        ("generation_config.json", b"[" * 99999, "generation_config.json must be JSON, not: "),
        ("tokenizer.json", b"\xff{}", "tokenizer.json must be JSON, not: 'utf-8' codec"),
        ("chat_template.jinja", b"\xff", "'utf-8' codec can't decode"),
    ],
)
def test_files_that_are_no_such_thing(model: Path, name: str, content: bytes, words: str) -> None:
    (model / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=words) as caught:
        open_tokenizer(model, "")
    assert "\n" not in str(caught.value)


def test_dropout_is_refused(model: Path) -> None:
    plain = json.loads((model / "tokenizer.json").read_text())["model"]
    change(model / "tokenizer.json", model={**plain, "dropout": 0.5})
    with pytest.raises(TokenizerError, match=r"^dropout must be null, not 0.5 \("):
        open_tokenizer(model, "")


def test_ends_that_no_token_has(model: Path) -> None:
    change(model / "generation_config.json", eos_token_id=[-1, 70000, 5])
    assert open_tokenizer(model, "").stop_ids == (70000, 5, 1)


@pytest.mark.parametrize("name", ["tokenizer.json", "special_tokens_map.json", "merges.txt"])
def test_pipes_are_not_waited_for(model: Path, name: str) -> None:
    (model / name).unlink(missing_ok=True)
    os.mkfifo(model / name)
    with pytest.raises(OSError, match="FIFO"):
        open_tokenizer(model, "")


def test_a_file_that_is_too_large(model: Path) -> None:
    with (model / "vocab.json").open("wb") as file:
        file.truncate(101_000_000)
    with pytest.raises(OSError, match="larger than 100000000 bytes"):
        open_tokenizer(model, "")


def test_whatever_transformers_reads_is_copied() -> None:
    import transformers

    sources = Path(transformers.__file__).parent / "models"
    families = ("llama", "gpt2", "gemma", "qwen2", "cohere", "gpt_neox", "t5", "bloom", "xglm")
    found = set[str]()
    for family in families:
        for file in (sources / family).glob("tokenization_*.py"):
            found |= set(re.findall(r'_file": "([^"]+)"', file.read_text()))
    assert {"tokenizer.model", "merges.txt", "tokenizer.json"} <= found
    assert found <= set(tokenizer_folder._NAMES)


def test_no_code_is_run(model: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"open({str(mark)!r}, 'w')\nclass Own: pass\n"
    for name in ("own.py", "tokenization_own.py", "tokenizers.py", "transformers.py"):
        (model / name).write_text(code)
    own = {"AutoTokenizer": ["own.Own", "own.Own"], "AutoConfig": "own.Own"}
    for name in ("tokenizer_config.json", "config.json"):
        change(model / name, auto_map=own, tokenizer_class="Own", trust_remote_code=True)
    change(model / "config.json", model_type="own")
    with pytest.raises(TokenizerError, match="contains custom code"):
        open_tokenizer(model, "")
    assert not mark.exists()


def test_what_is_kept_follows_from_the_files(model: Path) -> None:
    first = open_tokenizer(model, "")
    assert open_tokenizer(model, "").settings == first.settings
    change(model / "special_tokens_map.json", pad_token="<p>")
    second = open_tokenizer(model, "")
    assert second.settings.special_tokens == {**first.settings.special_tokens, "pad_token": "<p>"}
    moved = model.rename(model.with_name("deepseek-coder-moved"))
    assert open_tokenizer(moved, "").settings == second.settings


CALL = """
import sys
from pathlib import Path
from alula.runtime.tokenizer import BoundedTokenizer
from alula.text.process import TEXT_PROCESS
tokenizer = BoundedTokenizer(Path(sys.argv[1]))
print(TEXT_PROCESS._child.pid, flush=True)
tokenizer.encode_chat([{"role": "user", "content": "hi"}])
"""


def gone(process: int, limit_s: float) -> bool:
    """Whether a process has ended before the limit."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    with_template(tmp_path, nested("", 3))
    with subprocess.Popen(
        [sys.executable, "-c", CALL, tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.killpg(parent.pid, number)
        parent.wait(10)
    assert gone(child, 20)


FORK = """
import os, sys
from pathlib import Path
from alula.runtime.tokenizer import BoundedTokenizer
tokenizer = BoundedTokenizer(Path(sys.argv[1]))
before = tokenizer.encode("a")
process = os.fork()
assert tokenizer.encode("a") == before
if process:
    assert os.waitpid(process, 0)[1] == 0
    assert tokenizer.encode("a") == before
"""


def test_a_fork_has_its_own(tmp_path: Path) -> None:
    with_template(tmp_path, None)
    done = subprocess.run([sys.executable, "-c", FORK, tmp_path], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
