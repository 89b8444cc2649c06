"""A model through the compiler onto the machine model, whole and split."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from alula.codegen import Build
from alula.design import load_design
from alula.frontend import load as load_checkpoint
from alula.frontend.float_reference import FloatReference
from alula.isa import ContainerError
from alula.mapper import DoesNotFit
from alula.runtime import DeviceError, RunError, Session, cache, evaluation, load
from alula.runtime.loading import load_model


def flipped(data: bytes) -> bytes:
    """The same with one bit in the middle of the last kilobyte another."""
    return data[:-500] + bytes([data[-500] ^ 16]) + data[-499:]


TEXT = list(range(40, 111)) + list(range(90, 60, -1))
MAPS = [
    "*=torch",
    "layers.0-1=torch,*=accel",
    "layers.1=torch,*=accel",
    "embed=torch,*=accel",
    "head=torch,*=accel",
    "prefill:*=torch,*=accel",
    "decode:*=torch,*=accel",
    "prefill:layers.0=torch,decode:layers.2=torch,*=accel",
]


@pytest.fixture(scope="module", autouse=True)
def module_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache for the module's builds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALULA_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def accelerated(small_model: Path) -> Session:
    return load(str(small_model), "tiny")


def talk(session: Session) -> list[list[int]]:
    """A conversation of three turns; the last goes back behind the first."""
    first = session.generate([5, 6, 7, 8, 9], max_new_tokens=6)
    second = session.generate([*first.prompt_ids, *first.token_ids, 70, 71, 72], max_new_tokens=6)
    third = session.generate([5, 6, 7, 80, 81], max_new_tokens=4)
    return [first.token_ids, second.token_ids, third.token_ids]


@pytest.mark.parametrize("text", MAPS)
def test_every_split_gives_the_accelerators_tokens(
    small_model: Path, accelerated: Session, text: str
) -> None:
    split = load(str(small_model), "tiny", map=text)
    assert talk(split) == talk(accelerated)


def test_logits_bit_for_bit(small_model: Path) -> None:
    """In one run, in several, and as torch's integers have them."""
    ours = load_model(str(small_model), "tiny").executor
    exact = load_model(str(small_model), "tiny", map="*=torch").executor
    expected = exact.forward("prefill", TEXT, 0, rows=len(TEXT), logits=True).logits
    assert expected is not None
    for rows in (1, 3, 13, len(TEXT)):
        found = ours.forward("prefill", TEXT, 0, rows=rows, logits=True).logits
        np.testing.assert_array_equal(found, expected[-rows:])
    for start, stop in ((0, 5), (5, 40), (40, len(TEXT))):
        part = ours.forward("prefill", TEXT[start:stop], start, rows=1, logits=True)
        np.testing.assert_array_equal(part.logits, expected[stop - 1 : stop])


def test_one_checkpoint_same_tokens_on_every_design(
    small_model: Path, accelerated: Session
) -> None:
    for design in ("kv260", "u280", "vhk158"):
        assert talk(load(str(small_model), design, context=128)) == talk(accelerated)


def test_sampling_from_the_accelerators_logits(small_model: Path, accelerated: Session) -> None:
    torch_session = load(str(small_model), "tiny", map="*=torch")
    one, two = (
        session.generate([5, 6], max_new_tokens=8, temperature=1.5, seed=3).token_ids
        for session in (accelerated, torch_session)
    )
    assert one == two != accelerated.generate([5, 6], max_new_tokens=8).token_ids


def test_a_float_part_stays_near(small_model: Path) -> None:
    checkpoint = load_checkpoint(small_model)
    reference = FloatReference(checkpoint)
    found = {}
    for text in ("*=accel", "layers.0-1=torch-float,*=accel", "*=torch-float"):
        executor = load_model(str(small_model), "tiny", map=text).executor
        found[text] = evaluation.evaluate(executor, reference, TEXT, 256)
    exact = found["*=torch-float"]
    assert exact.ratio == pytest.approx(1, abs=1e-4)
    assert exact.top1_agreement == 1
    assert exact.predictions == len(TEXT) - 1
    half = found["layers.0-1=torch-float,*=accel"]
    assert abs(np.log(half.ratio)) < 0.2
    assert half.top1_agreement > 0.7


def test_windows(small_model: Path) -> None:
    loaded = load_model(str(small_model), "tiny", map="*=torch-float")
    steps: list[int] = []
    result = evaluation.evaluate(
        loaded.executor,
        FloatReference(loaded.checkpoint),
        TEXT,
        40,
        lambda stage, done, total: steps.append(done),
    )
    assert (result.window, result.tokens, result.predictions) == (40, 101, 98)
    assert steps == sorted(steps)
    assert steps[-1] == 101
    with pytest.raises(RunError, match=r"^the text must be at least 2 tokens, not 1$"):
        evaluation.evaluate(loaded.executor, FloatReference(loaded.checkpoint), [3], 40)


def test_the_context_is_the_limit(small_model: Path) -> None:
    short = load(str(small_model), "tiny", context=32)
    result = short.generate(list(range(10, 35)), max_new_tokens=50)
    assert (len(result.token_ids), result.finish) == (8, "context")


def test_code_is_the_same_for_every_context(small_model: Path) -> None:
    checkpoint = load_checkpoint(small_model)
    one, two = (cache.built(checkpoint, load_design("tiny"), length) for length in (64, 256))
    assert one.decode.code == two.decode.code
    assert one.prefill.code == two.prefill.code


def test_a_session_knows_its_runs(small_model: Path) -> None:
    """And what each must move at least; torch's share is not among them."""
    session = load(str(small_model), "tiny", map="layers.0=torch,*=accel")
    session.generate([5, 6, 7], max_new_tokens=2)
    assert [(run.phase, run.position, run.tokens) for run in session.runs] == [
        ("prefill", 0, 3),
        ("prefill", 0, 3),
        ("decode", 3, 1),
        ("decode", 3, 1),
    ]
    embed, rest = session.runs[2:]
    assert embed.must_write == embed.counters["bytes_written"] == 4 * 64
    assert rest.must_write == rest.counters["bytes_written"] == 2 * 2 * 2 * 34 + 4
    assert rest.counters["bytes_read"] >= rest.must_read > 50_000


def test_devices(small_model: Path) -> None:
    with pytest.raises(DeviceError, match=r"^device must be model or rtl, not 'board': boards are"):
        load(str(small_model), "tiny", device="board")
    with pytest.raises(DeviceError, match=r"^device must be model or rtl, not 'gpu'$"):
        load(str(small_model), "tiny", device="gpu")
    with pytest.raises(DeviceError, match=r"^torch's device must be one of this machine, not abc"):
        load(str(small_model), "tiny", map="*=torch:abc")


class TestCache:
    """Builds are made once, whole, and again if they are damaged."""

    @pytest.fixture
    def build(self, small_model: Path, cache: Path) -> Callable[..., Build]:
        from alula.runtime.cache import built

        checkpoint = load_checkpoint(small_model)
        return lambda context=64, **more: built(checkpoint, load_design("tiny"), context, **more)

    def test_made_once(
        self, build: Callable[..., Build], cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = build()
        from alula.runtime import cache as module

        monkeypatch.setattr(module, "compiled", None)
        again = build()
        assert again.decode.code == first.decode.code
        np.testing.assert_array_equal(again.image.data, first.image.data)
        assert len(list((cache / "builds").iterdir())) == 1

    def test_another_context_is_another_build(self, build, cache: Path) -> None:
        build()
        build(96)
        assert len(list((cache / "builds").iterdir())) == 2

    @pytest.mark.parametrize("name", ["image.alula", "decode.alula", "build.json"])
    @pytest.mark.parametrize("harm", [lambda data: data[:-100], flipped], ids=["cut", "flipped"])
    def test_damaged(self, build, cache: Path, name: str, harm: Callable, caplog) -> None:
        first = build()
        expected = first.image.data.copy(), first.decode
        (path,) = (cache / "builds").glob(f"*/{name}")
        path.write_bytes(harm(path.read_bytes()))
        again = build()
        np.testing.assert_array_equal(again.image.data, expected[0])
        assert again.decode == expected[1]
        (record,) = caplog.records
        assert f"was damaged ({name} is not what was written)" in record.getMessage()

    def test_another_clock_is_the_same_build(self, build, small_model: Path, cache: Path) -> None:
        from alula.runtime.cache import built

        build()
        changes = {"clock_mhz": 33, "name": "slow", "part.name": "another", "memory.dram.ranks": 2}
        slow = load_design("tiny").replace(changes)
        found = built(load_checkpoint(small_model), slow, 64)
        assert len(list((cache / "builds").iterdir())) == 1
        assert found.design == slow
        assert found.fit.design == "slow"

    def test_what_a_user_keeps_is_refused_by_name(self, build, tmp_path: Path) -> None:
        build().save(tmp_path / "mine")
        (tmp_path / "mine" / "notes.txt").write_text("of mine")
        again = Build.load(tmp_path / "mine")
        np.testing.assert_array_equal(again.image.data, build().image.data)
        path = tmp_path / "mine" / "image.alula"
        path.write_bytes(flipped(path.read_bytes()))
        with pytest.raises(
            ContainerError, match=r"mine must be a build as .*: image\.alula is not"
        ):
            Build.load(tmp_path / "mine")

    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
    def test_interrupted(self, build, cache: Path, files_under, error: BaseException) -> None:
        def progress(stage: str, done: int, total: int) -> None:
            if done > 1:
                raise error

        with pytest.raises((KeyboardInterrupt, OSError)):
            build(progress=progress)
        assert files_under(cache / "builds") == []

    def test_full_disk(self, build, cache: Path, files_under, monkeypatch) -> None:
        def full(self, folder: Path) -> None:
            (folder / "image.alula").write_bytes(bytes(1000))
            raise OSError(28, "No space left on device", str(folder))

        with monkeypatch.context() as patch:
            patch.setattr(Build, "write", full)
            with pytest.raises(OSError, match="No space left"):
                build()
        assert files_under(cache / "builds") == []
        assert build().decode.code

    def test_does_not_fit(self, small_model: Path, cache: Path, files_under) -> None:
        from alula.runtime.cache import built

        with pytest.raises(DoesNotFit, match=r"context \(both\) must be at most 256"):
            built(load_checkpoint(small_model), load_design("tiny"), 512)
        assert files_under(cache / "builds") == []

    def test_a_model_is_what_it_holds(self, small_model: Path, tmp_path: Path) -> None:
        from alula.runtime.cache import build_key

        def key(folder: Path, design: str = "tiny") -> str:
            return build_key(load_checkpoint(folder), load_design(design), 64)

        copy = tmp_path / "copy"
        shutil.copytree(small_model, copy, copy_function=shutil.copyfile)
        assert key(copy) == key(small_model) != key(copy, "kv260")
        path = copy / "model.safetensors"
        status = path.stat()
        path.write_bytes(flipped(path.read_bytes()))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert key(copy) != key(small_model)


@pytest.fixture(scope="module")
def session(smollm2_path: Path) -> Session:
    """The real model on the accelerator."""
    return load(str(smollm2_path), "kv260", context=256)


@pytest.mark.slow
class TestSmolLM2:
    """The real model."""

    def test_answers(self, session: Session) -> None:
        result = session.generate("What is the capital of France?", max_new_tokens=12)
        assert "Paris" in result.text

    def test_readme(self, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
        root = Path(__file__).parents[2]
        (example,) = re.findall(
            r"```python\n(from alula.runtime.*?)```", (root / "README.md").read_text(), re.DOTALL
        )
        assert len(example.splitlines()) < 10
        monkeypatch.chdir(root)
        exec(example)
        assert "Paris" in capsys.readouterr().out

    def test_split(self, session: Session, smollm2_path: Path) -> None:
        prompt = "The alula is a small feather"
        split = load(str(smollm2_path), "kv260", map="layers.0-2=torch,*=accel", context=256)
        one, two = (s.generate(prompt, raw=True, max_new_tokens=4) for s in (session, split))
        assert one.token_ids == two.token_ids

    def test_float_split_keeps_perplexity(self, smollm2_path: Path) -> None:
        from pydoc_data.topics import topics

        from alula.runtime.loading import needed_tokenizer

        loaded = load_model(
            str(smollm2_path), "kv260", map="layers.0-9=torch-float,*=accel", context=256
        )
        ids = needed_tokenizer(loaded.checkpoint).encode(topics["assert"] + topics["class"])[:256]
        result = evaluation.evaluate(loaded.executor, FloatReference(loaded.checkpoint), ids, 256)
        assert result.ratio < 1.02
