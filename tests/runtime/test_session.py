"""A session's answers, errors and reuse, on an executor that counts."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alula.runtime import DeviceError, PromptError, RunError, Session, TokenizerError
from alula.runtime.executor import Executor
from alula.runtime.session import SessionInfo
from alula.runtime.split import Segment, Target, parse_split
from alula.runtime.tokenizer_sources import open_tokenizer
from alula.runtime.worker import KvRows, Output, Work

VOCABULARY = 260
ROLES = "system, user, assistant or one that the model's chat template names"
INFO = SessionInfo("counter", "model", "0" * 16, "*=accel", 20, VOCABULARY, 0)


class Counting(Executor):
    """Of one device, whose next token is the last one plus one; logits say the same."""

    shared = False

    def __init__(self) -> None:
        units, target = ("embed", "layers.0", "head"), Target("torch-int", "counter")
        super().__init__(parse_split(f"*={target}", units), {target: self})
        self.calls: list[tuple[str, list[int], int]] = []
        self.asked: list[bool] = []
        """Whether each call wanted logits."""
        self.fail_at = -1

    def run(self, segment: Segment, work: Work) -> Output:
        ids, position = work.source.tolist(), work.position
        self.calls.append((work.phase, ids, position))
        self.asked.append(work.logits)
        if position == self.fail_at:
            self.fail_at = -1
            raise RuntimeError("the device is gone")
        token = (ids[-1] + 1) % VOCABULARY
        row = np.zeros((1, VOCABULARY), np.float32)
        row[0, token] = 50
        return Output(token=token, logits=row if work.logits else None)

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        raise NotImplementedError

    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        raise NotImplementedError


@pytest.fixture
def executor() -> Counting:
    return Counting()


@pytest.fixture
def session(executor: Counting) -> Session:
    return Session(executor, INFO, None)


@pytest.fixture
def talking(executor: Counting, small_model: Path) -> Session:
    return Session(executor, INFO, open_tokenizer(small_model, "d" * 64))


def test_an_answer_in_ids(session: Session, executor: Counting) -> None:
    result = session.generate([5, 6], max_new_tokens=4)
    assert (result.prompt_ids, result.token_ids) == ([5, 6], [7, 8, 9, 10])
    assert (result.text, result.finish, result.reused) == ("", "length", 0)
    assert result.prefill_s > 0
    assert (result.decode_tokens_per_s or 0) > 0
    assert executor.calls == [
        ("prefill", [5, 6], 0),
        ("decode", [7], 2),
        ("decode", [8], 3),
        ("decode", [9], 4),
    ]


def test_a_long_prompt_runs_in_pieces(executor: Counting) -> None:
    session = Session(executor, replace(INFO, context=1000), None)
    steps: list[tuple] = []
    result = session.generate(
        [3] * 600, max_new_tokens=1, progress=lambda *step: steps.append(step)
    )
    assert result.token_ids == [4]
    assert [(len(ids), position) for _, ids, position in executor.calls] == [
        (256, 0),
        (256, 256),
        (88, 512),
    ]
    assert steps == [
        *(("reading the prompt", done, 600) for done in (0, 256, 512)),
        ("answering", 1, 1),
    ]


def test_one_token_has_no_decode_speed(session: Session) -> None:
    assert session.generate([5], max_new_tokens=1).decode_tokens_per_s is None


def test_drawing_uses_logits(executor: Counting) -> None:
    """They are asked for where a token is drawn, and only there."""
    session = Session(executor, replace(INFO, context=1000), None)
    drawn = session.generate([5] * 300, max_new_tokens=3, temperature=1, seed=0)
    assert drawn.token_ids == [6, 7, 8]
    assert executor.asked == [False, True, True, True]
    executor.asked.clear()
    session.generate([9] * 300, max_new_tokens=3)
    assert executor.asked == [False] * 4


def test_what_was_said_is_not_run_again(session: Session, executor: Counting) -> None:
    first = session.generate([5, 6], max_new_tokens=3)
    executor.calls.clear()
    result = session.generate([5, 6, *first.token_ids, 50], max_new_tokens=1)
    assert result.reused == 4
    assert executor.calls == [("prefill", [9, 50], 4)]
    executor.calls.clear()
    assert session.generate([5, 6], max_new_tokens=1).reused == 1
    assert executor.calls == [("prefill", [6], 1)]
    assert session.generate([9], max_new_tokens=1).reused == 0


def test_what_cannot_be_taken_back_is_not_reused(executor: Counting, session: Session) -> None:
    """A sequence goes on as it is, or starts anew."""
    executor.rewinds = False
    session.generate([5, 6, 7], max_new_tokens=2)
    assert session.generate([5, 6, 7, 8, 9], max_new_tokens=1).reused == 4
    assert session.generate([5, 6, 7, 8, 4], max_new_tokens=1).reused == 0
    assert executor.calls[-1] == ("prefill", [5, 6, 7, 8, 4], 0)


def test_the_end_of_the_context(session: Session) -> None:
    result = session.generate(list(range(18)), max_new_tokens=100)
    assert (result.token_ids, result.finish) == ([18, 19, 20], "context")
    assert session.generate([3] * 20, max_new_tokens=1).finish == "length"


def test_text_comes_in_pieces(talking: Session) -> None:
    pieces: list[str] = []
    result = talking.generate("ab", raw=True, max_new_tokens=3, on_text=pieces.append)
    assert result.text == "".join(pieces) == "cde"
    assert talking.generate("ab", raw=True, max_new_tokens=9, stop=["ef"]).text == "cd"


def test_a_stop_token_ends_the_answer(talking: Session) -> None:
    result = talking.generate([VOCABULARY - 2], max_new_tokens=9)
    assert result.token_ids == [VOCABULARY - 1, 0, 1]
    assert (result.text, result.finish) == ("", "stop")


def test_a_text_is_a_turn_of_a_conversation(talking: Session) -> None:
    plain = talking.encode("hi", raw=True)
    asked = talking.encode([{"role": "user", "content": "hi"}])
    assert talking.encode("hi") == asked
    assert len(asked) == len(plain) + len("user: \n") + 1


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ([], "the prompt must hold at least one token, not be empty"),
        ("", "the prompt must hold at least one token, not be empty"),
        ([1] * 21, "the prompt must be at most 20 tokens, the context, not 21"),
        ([1, 260], "the prompt's token ids must be 0 to 259, not 260"),
        ([-1], "the prompt's token ids must be 0 to 259, not -1"),
        ("hello", "the prompt must be token ids, not text: counter has no tokenizer"),
        ([1, {"role": "user"}], "the prompt must be token ids or messages, not both"),
        ([1, True], "the prompt must be token ids or messages, not hold True"),
        ([1, None], "the prompt must be token ids or messages, not hold None"),
        ([1.0], "the prompt must be token ids or messages, not hold 1.0"),
        (["hi"], "the prompt must be token ids or messages, not hold 'hi'"),
        ([10**9999], "the prompt's token ids must be 0 to 259, not a number of 33216 bits"),
        (b"hi", "the prompt must be a text, token ids or messages, not a bytes"),
        ({"role": "user"}, "the prompt must be a text, token ids or messages, not a dict"),
        (None, "the prompt must be a text, token ids or messages, not a NoneType"),
    ],
)
def test_prompts_that_cannot_be(session: Session, executor, prompt, words: str) -> None:
    with pytest.raises(PromptError) as caught:
        session.generate(prompt)
    assert str(caught.value) == words
    assert executor.calls == []
    assert session.generate([1], max_new_tokens=1).token_ids == [2]


def test_other_arguments(session: Session) -> None:
    with pytest.raises(RunError, match=r"^max_new_tokens must be at least 1, not 0$"):
        session.generate([1], max_new_tokens=0)
    with pytest.raises(RunError, match=r"^stop texts need a model with a tokenizer"):
        session.generate([1], stop=["x"])
    with pytest.raises(RunError, match=r"^stop must be a list of texts, not the text 'END'$"):
        session.generate([1], stop="END")


def test_ids_of_numpy(session: Session) -> None:
    assert session.encode(np.array([5, 6], np.uint32).tolist()) == [5, 6]
    ids = session.encode(list(np.array([5, 6], np.uint32)))
    assert ids == [5, 6]
    assert {type(value) for value in ids} == {int}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "user"}], "message 0 must have a content, not only role"),
        ([{"content": "hi"}], "message 0 must have a role, not only content"),
        ([{}], "message 0 must have a role, not only nothing"),
        ([{"role": "user", "content": 3}], "message 0: content must be text, not 3"),
        ([{"role": "user", "content": None}], "message 0: content must be text, not None"),
        (
            [{"role": "user", "content": "a\ud800"}],
            "message 0: content must be Unicode, not hold a lone surrogate (character 1)",
        ),
        (
            [{"role": "user", "content": "hi"}, {"role": "usr", "content": "hi"}],
            f"message 1: role must be {ROLES}, not 'usr'",
        ),
        (
            [{"role": "user", "content": "hi", "seen": {1, 2}}],
            "message 0 must hold what JSON has, not: Object of type set is not JSON serializable",
        ),
    ],
)
def test_messages_that_cannot_be(talking: Session, messages, words: str) -> None:
    with pytest.raises(TokenizerError) as caught:
        talking.generate(messages)
    assert str(caught.value) == words


def test_texts_that_cannot_be(talking: Session) -> None:
    with pytest.raises(TokenizerError, match=r"^the text must be Unicode, not hold a lone surr"):
        talking.generate("a\udcff", raw=True)
    assert talking.encode("   ", raw=True) == talking.encode(" ", raw=True) * 3


def test_usable_after_an_error(session: Session, executor: Counting) -> None:
    executor.fail_at = 4
    words = "embed, layers.0, head on torch-int:counter failed: the device is gone"
    with pytest.raises(DeviceError, match=words):
        session.generate([5, 6], max_new_tokens=9)
    executor.calls.clear()
    assert session.generate([5, 6, 7, 8, 9], max_new_tokens=2).token_ids == [10, 11]
    assert executor.calls[0] == ("prefill", [9], 4)


def test_a_cancelled_answer_ends_after_its_token(session: Session, executor: Counting) -> None:
    def cancel(stage: str, done: int, total: int) -> None:
        if (stage, done) == ("answering", 2):
            session.cancel()

    result = session.generate([5, 6], max_new_tokens=9, progress=cancel)
    assert (result.token_ids, result.finish) == ([7, 8], "cancelled")
    assert session.generate([5, 6, 7], max_new_tokens=2).finish == "length"


def test_a_cancelled_prompt_ends_after_its_piece(executor: Counting) -> None:
    session = Session(executor, replace(INFO, context=1000), None)

    def cancel(stage: str, done: int, total: int) -> None:
        if done == 0:
            session.cancel()

    result = session.generate([3] * 600, progress=cancel)
    assert (result.token_ids, result.finish) == ([], "cancelled")
    assert len(executor.calls) == 1
    assert session.generate([3] * 600, max_new_tokens=1).reused == 256
