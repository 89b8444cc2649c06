"""A conversation with a model: prompts in, text out, keys and values kept in between."""

import reprlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

from alula.progress import Progress, silent
from alula.runtime.checking import Checked, UnitCheck, unit_check
from alula.runtime.errors import PromptError, RunError
from alula.runtime.executor import Executor
from alula.runtime.runs import Run
from alula.runtime.sampling import Sampler, check_length
from alula.runtime.spans import Span
from alula.runtime.streaming import Detokenizer, StopText
from alula.runtime.tokenizer import BoundedTokenizer, Message
from alula.runtime.worker import Output

if TYPE_CHECKING:
    from alula.design import Design
    from alula.frontend import Checkpoint
    from alula.runtime.accelerator import Accelerator
    from alula.runtime.planning.comparison import PlanComparison
    from alula.runtime.planning.plan import Plan
    from alula.runtime.planning.work import ModelWork

Prompt = str | Sequence[int] | Sequence[Message]
"""A text, token ids, or a conversation."""

Finish = Literal["stop", "length", "context", "cancelled"]
"""Why an answer ended: a stop token or text, the limit asked for, the context, or `cancel`."""


class _Cancelled(Exception):
    """Ends a prompt between two of its pieces."""


@dataclass(frozen=True)
class Generation:
    """An answer.

    Attributes:
        text: without special tokens and stop texts; "" if the model has no tokenizer.
        prompt_ids: what the model was given.
        token_ids: what it gave, a stop token included.
        finish: why it ended.
        reused: tokens of the prompt whose keys and values were still held.
        prefill_s: seconds from the prompt to the first token.
        decode_tokens_per_s: tokens a second after the first; None if there was only one.
        checked: what was compared with torch while it ran; None if nothing was.
    """

    text: str
    prompt_ids: list[int]
    token_ids: list[int]
    finish: Finish
    reused: int
    prefill_s: float
    decode_tokens_per_s: float | None
    checked: Checked | None = None


@dataclass(frozen=True)
class SessionInfo:
    """What a session runs on.

    Attributes:
        model: what was loaded, as the user named it.
        device: name of the accelerator's device.
        design_hash: identity of the design.
        map: the split, as text.
        context: most tokens that a sequence may have.
        vocab_size: ids are below this.
        program_bytes: size of the decode program; 0 if nothing runs on the accelerator.
    """

    model: str
    device: str
    design_hash: str
    map: str
    context: int
    vocab_size: int
    program_bytes: int


class Session:
    """Generates text with one model, one sequence at a time.

    A prompt that begins like the sequence before it reuses the keys and values of what they share.
    After an error the session can be used again.

    Args:
        executor: runs the model.
        info: what it runs on.
        tokenizer: the model's; None if it has none, then prompts are token ids.
        runs: every run of the accelerator so far, which grows; see `rtl_report`.
        design: of the accelerator.
        accelerator: what runs segments there; None if nothing does.
        checkpoint: the model; without it answers cannot be verified.
    """

    def __init__(
        self,
        executor: Executor,
        info: SessionInfo,
        tokenizer: BoundedTokenizer | None,
        runs: Sequence[Run] = (),
        design: "Design | None" = None,
        accelerator: "Accelerator | None" = None,
        checkpoint: "Checkpoint | None" = None,
    ) -> None:
        self.info = info
        self.design = design
        self.accelerator = accelerator
        self.runs = runs
        self.tokenizer = tokenizer
        self.checkpoint = checkpoint
        self._executor = executor
        self._held: list[int] = []
        self._cancelled = Event()

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        raw: bool = False,
        on_text: Callable[[str], None] | None = None,
        verify: Literal["torch"] | None = None,
        progress: Progress = silent,
    ) -> Generation:
        """Return the answer to a prompt.

        Args:
            prompt: a text, token ids, or a conversation.
            max_new_tokens: most tokens to generate, at least 1.
            temperature: see `Sampler`; 0 takes the most likely token.
            top_k: see `Sampler`.
            top_p: see `Sampler`.
            seed: see `Sampler`.
            stop: texts that end the answer; they are not part of it.
            raw: give a text to the model as it is, without its chat template.
            on_text: called with each piece of text as it comes.
            verify: "torch" compares what every unit leaves with torch on the CPU while it runs; the
                whole prompt is then run. See `Checked`.
            progress: called with how much of the prompt has been read, and for each token.

        Raises:
            PromptError: the prompt is empty, longer than the context, or holds unknown ids.
            RunError: another argument is out of range.
            UnitError: a unit left something else than torch does.
            DeviceError: a device failed.
        """
        check_length(max_new_tokens)
        if isinstance(stop, str):
            raise RunError(f"stop must be a list of texts, not the text {stop!r}")
        if stop and self.tokenizer is None:
            raise RunError("stop texts need a model with a tokenizer, not one without")
        sampler = Sampler(temperature, top_k, top_p, seed)
        ids = self.encode(prompt, raw=raw)
        check = self._unit_check(verify)
        reused = 0 if check else self._shared(ids)
        text, pieces = _Text(self.tokenizer, stop), list[str]()
        stop_ids = self.tokenizer.stop_ids if self.tokenizer else ()
        tokens: list[int] = []
        room = self.info.context - len(ids) + 1
        finish: Finish = "context" if max_new_tokens > room else "length"
        self._cancelled.clear()
        start = first = time.perf_counter()
        with (
            self._executor.recorder.span("answer", "answer", tokens=len(ids), position=reused),
            self._executor.checked_by(check),
            suppress(_Cancelled),
        ):
            for token in self._tokens(ids, reused, max_new_tokens, sampler, progress):
                tokens.append(token)
                progress("answering", len(tokens), max_new_tokens)
                if len(tokens) == 1:
                    first = time.perf_counter()
                if token in stop_ids:
                    finish = "stop"
                    break
                pieces.append(text.push(token))
                if on_text and pieces[-1]:
                    on_text(pieces[-1])
                if text.stopped:
                    finish = "stop"
                    break
                if self._cancelled.is_set():
                    break
        end = time.perf_counter()
        if finish != "stop" and self._cancelled.is_set():
            finish = "cancelled"
        first = first if tokens else end
        pieces.append(text.flush())
        if on_text and pieces[-1]:
            on_text(pieces[-1])
        return Generation(
            text="".join(pieces),
            prompt_ids=ids,
            token_ids=tokens,
            finish=finish,
            reused=reused,
            prefill_s=first - start,
            decode_tokens_per_s=(len(tokens) - 1) / (end - first) if len(tokens) > 1 else None,
            checked=check.checked if check else None,
        )

    def _unit_check(self, verify: str | None) -> UnitCheck | None:
        """Return what compares units with torch, if asked for. RunError if that cannot be."""
        if verify is None:
            return None
        if verify != "torch":
            raise RunError(f"verify must be torch or None, not {verify!r}")
        if self.checkpoint is None:
            raise RunError("verify must be None for a session that `load` has not made, not torch")
        return unit_check(self.checkpoint)

    def cancel(self) -> None:
        """End the answer that another thread generates, after its token or piece of a prompt."""
        self._cancelled.set()

    def trace(self, path: str | Path) -> None:
        """Write what happened in every answer so far, for chrome://tracing or ui.perfetto.dev.

        A file that ends in .pftrace is of Perfetto's own format, any other is JSON.

        Raises:
            RunError: the format is Perfetto's, and the package perfetto is not installed.
            OSError: the file cannot be written.
        """
        from alula.runtime.tracing import write_trace

        write_trace(self, Path(path))

    def compare(self, plan: "Plan") -> "PlanComparison":
        """Return what the last answer took beside what a plan predicts for its lengths.

        Raises:
            RunError: there was no answer yet, or the plan is of another map.
        """
        from alula.runtime.planning.comparison import compare

        return compare(self, plan)

    @property
    def spans(self) -> Sequence[Span]:
        """What happened so far, by the wall clock."""
        return self._executor.recorder.spans

    @property
    def model(self) -> "ModelWork | None":
        """What the model asks of a device, unit by unit; None without a checkpoint."""
        from alula.runtime.planning.work import work_of

        if self.checkpoint is None:
            return None
        return work_of(self.info.model, self.checkpoint.architecture)

    def encode(self, prompt: Prompt, *, raw: bool = False) -> list[int]:
        """Return the token ids of a prompt, checked against vocabulary and context.

        A text becomes the user's turn of a conversation if the model has a chat template, unless
        `raw`. PromptError if the ids cannot be run.
        """
        ids = self._ids(prompt, raw)
        if not ids:
            raise PromptError("the prompt must hold at least one token, not be empty")
        wrong = next((value for value in ids if not 0 <= value < self.info.vocab_size), None)
        if wrong is not None:
            limit = self.info.vocab_size - 1
            shown = wrong if wrong.bit_length() < 64 else f"a number of {wrong.bit_length()} bits"
            raise PromptError(f"the prompt's token ids must be 0 to {limit}, not {shown}")
        context = self.info.context
        if len(ids) > context:
            raise PromptError(
                f"the prompt must be at most {context} tokens, the context, not {len(ids)}"
            )
        return ids

    def _ids(self, prompt: Prompt, raw: bool) -> list[int]:
        if isinstance(prompt, str):
            if not prompt:
                return []
            tokenizer = self._needed_tokenizer()
            if raw or not tokenizer.has_chat:
                return tokenizer.encode(prompt)
            return tokenizer.encode_chat([{"role": "user", "content": prompt}])
        items = _items(prompt)
        messages = [item for item in items if isinstance(item, Mapping)]
        if messages and len(messages) == len(items):
            return self._needed_tokenizer().encode_chat(messages)
        if messages:
            raise PromptError("the prompt must be token ids or messages, not both")
        for item in items:
            if not _is_id(item):
                shown = reprlib.repr(item).replace("\n", " ")
                raise PromptError(f"the prompt must be token ids or messages, not hold {shown}")
        return [int(item) for item in items]

    def _needed_tokenizer(self) -> BoundedTokenizer:
        if self.tokenizer is None:
            raise PromptError(
                f"the prompt must be token ids, not text: {self.info.model} has no tokenizer"
            )
        return self.tokenizer

    def _shared(self, ids: Sequence[int]) -> int:
        """Return how many tokens of a prompt are held; at least one is left to run.

        None, where those that follow them cannot be forgotten.
        """
        shared = 0
        for held, wanted in zip(self._held, ids[:-1], strict=False):
            if held != wanted:
                break
            shared += 1
        return shared if self._executor.rewinds or shared == len(self._held) else 0

    def _tokens(
        self, ids: list[int], reused: int, count: int, sampler: Sampler, progress: Progress
    ) -> Iterator[int]:
        """Yield up to `count` new tokens, fewer at the end of the context."""
        total = len(ids) - reused

        def done(tokens: int) -> None:
            self._held += ids[len(self._held) : reused + tokens]
            if self._cancelled.is_set():
                raise _Cancelled
            progress("reading the prompt", tokens, total)

        progress("reading the prompt", 0, total)
        self._held = self._held[:reused]
        wanted = not sampler.greedy
        output = self._executor.prefill(
            ids[reused:], reused, logits=wanted, streams=count > 1, done=done
        )
        self._held = list(ids)
        token = _chosen(output, sampler)
        yield token
        for position in range(len(ids), min(len(ids) + count - 1, self.info.context)):
            self._held = self._held[:position]
            output = self._executor.forward("decode", [token], position, logits=wanted)
            self._held.append(token)
            token = _chosen(output, sampler)
            yield token


def _chosen(output: Output, sampler: Sampler) -> int:
    """Return the token that follows."""
    if output.logits is not None:
        return sampler.choose(output.logits[-1])
    assert output.token is not None
    return output.token


def _items(prompt: object) -> list[Any]:
    """Return what a prompt that is no text holds. PromptError if it is no list of something."""
    if isinstance(prompt, bytes | bytearray | Mapping) or not isinstance(prompt, Iterable):
        kind = type(prompt).__name__
        raise PromptError(f"the prompt must be a text, token ids or messages, not a {kind}")
    return list(prompt)


def _is_id(item: object) -> bool:
    """Whether an item is an integer, of numpy as well; True and False are none."""
    return isinstance(item, Integral) and not isinstance(item, bool)


class _Text:
    """The text of an answer as its tokens come; empty without a tokenizer."""

    def __init__(self, tokenizer: BoundedTokenizer | None, stop: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(tokenizer.decode) if tokenizer else None
        self._stop = StopText(stop)

    @property
    def stopped(self) -> bool:
        return self._stop.hit

    def push(self, token: int) -> str:
        return self._stop.push(self._detokenizer.push(token)) if self._detokenizer else ""

    def flush(self) -> str:
        if self._detokenizer is None:
            return ""
        return self._stop.push(self._detokenizer.flush()) + self._stop.flush()
