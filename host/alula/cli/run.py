"""`alula run`: a model answers a prompt."""

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded, tell
from alula.cli.output import print_text
from alula.cli.progress import progress_bar

if TYPE_CHECKING:
    from alula.rtl.device import Waves
    from alula.runtime.device import Opener

_SHOWN = 60
"""Characters of a wrong value that a message shows."""


@guarded
def run(
    model: options.Model,
    prompt: Annotated[
        str | None, typer.Argument(help="The text to answer.", show_default=False)
    ] = None,
    design: options.Design = "kv260",
    device: options.Device = "model",
    map: options.Map = "*=accel",
    plan: Annotated[
        Path | None,
        typer.Option(help="A plan of alula plan --out: says map, design and context."),
    ] = None,
    torch_mode: options.TorchMode = "int",
    context: options.Context = None,
    max_new_tokens: Annotated[int, typer.Option(help="Most tokens to generate.")] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Draw from the k most likely tokens; 0: all.")] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the fewest tokens with at least this probability.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Makes drawing repeatable.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="A text that ends the answer.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave out the chat template.")] = False,
    prompt_ids: Annotated[
        str | None,
        typer.Option(help="The prompt as token ids with commas between, instead of text."),
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option(help="The prompt from a UTF-8 file, instead of an argument.")
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check what every unit leaves while it runs, and every token of a greedy answer, "
            "against torch.",
        ),
    ] = False,
    lockstep: Annotated[
        bool,
        typer.Option(
            "--lockstep",
            help="With --device rtl: compare every instruction as it retires; stop at the first "
            "that differs.",
        ),
    ] = False,
    waves: Annotated[
        Path | None,
        typer.Option(
            help="With --device rtl: a file for waves, as FST. With --lockstep they are of the "
            "cycles before what differs.",
            show_default="none; lockstep.fst with --lockstep",
        ),
    ] = None,
    begin: Annotated[
        int | None, typer.Option("--from", help="First cycle of --waves.", show_default="0")
    ] = None,
    end: Annotated[
        int | None,
        typer.Option("--to", help="Cycle at which --waves end.", show_default="the last"),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds that a device may take for a segment.", show_default="no limit"),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="A file for what happened when, for ui.perfetto.dev: JSON, or Perfetto's own "
            "format if it ends in .pftrace."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Answer a prompt, every product made by the accelerator's instructions.

    [bold]Examples[/bold]

    alula run smollm2-135m "What is the capital of France?" --max-new-tokens 12

    alula run smollm2-135m "Tell me a story." --temperature 0.7 --top-p 0.9 --seed 1

    alula run ./my-model "Hello" --map "layers.0-9=torch,*=accel" --json

    alula run smollm2-135m "Hi" --device rtl --map "prefill:*=torch,*=accel" --max-new-tokens 2

    alula run smollm2-135m "Hi" --plan plan.yaml --trace trace.json

    alula run ./small "Hi" --design nano --device rtl --waves run.fst --from 2000 --to 3000
    """
    from alula.cli.answer import Answer, print_difference
    from alula.runtime.errors import MismatchError, OutOfStepError, RunError, UnitError
    from alula.runtime.loading import load_model, session_of
    from alula.runtime.sampling import Sampler, check_length
    from alula.runtime.session import Prompt

    given: Prompt = _prompt(prompt, prompt_ids, prompt_file)
    # A model may take minutes to compile: what is wrong without it is reported before.
    check_length(max_new_tokens)
    Sampler(temperature, top_k, top_p, seed)
    if verify and temperature > 0:
        raise RunError(f"temperature must be 0 to verify an answer, not {temperature}")
    window = None if lockstep else _window(waves, begin, end)
    opener = _opener(device, lockstep, waves, window)
    with ExitStack() as bars:
        progress = bars.enter_context(progress_bar())

        def show(text: str) -> None:
            bars.close()
            print_text(text, end="")

        loaded = load_model(
            model,
            design,
            opener,
            map,
            context=context,
            torch_mode=torch_mode,
            plan=plan,
            timeout_s=timeout,
            progress=progress,
        )
        session = session_of(loaded)
        # Where a token takes minutes, a person sees how far it is, and the text at the end.
        watched = device == "rtl" and sys.stderr.isatty()
        try:
            result = session.generate(
                given,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                seed=seed,
                stop=stop or (),
                raw=raw,
                on_text=None if json or watched else show,
                verify="torch" if verify else None,
                progress=progress,
            )
        except (MismatchError, OutOfStepError, UnitError) as error:
            if json:
                print_difference(error, session.info.device)
            raise
    if watched and not json:
        print_text(result.text, end="")
    if window and loaded.device:
        loaded.device.close()
        if not window.path.stat().st_size:
            tell(f"{window.path} is empty: the run ended before cycle {window.start:,}")
    if trace is not None:
        session.trace(trace)
    verified = None
    if verify:
        from alula.runtime.verification import verify as compare

        if not json:
            print()
        verified = compare(loaded.checkpoint, result.prompt_ids, result.token_ids)
    answer = Answer(loaded, session, result, verified)
    if json:
        answer.print_json()
    else:
        answer.print_rest()
    if verified and verified.equal < verified.tokens:
        tell(f"torch must give the same {verified.tokens} tokens, not {verified.equal} of them")
        raise typer.Exit(1)


def _opener(
    device: str, lockstep: bool, waves: Path | None, window: "Waves | None"
) -> "str | Opener":
    """Return the device that was asked for: of the gateware also how it is watched.

    DeviceError if it cannot be watched.
    """
    if not lockstep and window is None:
        return device
    from alula.runtime.device import find_device
    from alula.runtime.errors import DeviceError
    from alula.runtime.gateware_device import GatewareDevice

    if device != GatewareDevice.name:
        find_device(device)
        asked = "go in lock step" if lockstep else "write waves"
        raise DeviceError(f"device must be {GatewareDevice.name} to {asked}, not {device!r}")
    if lockstep:
        return partial(GatewareDevice, lockstep=waves or Path("lockstep.fst"))
    return partial(GatewareDevice, waves=window)


def _window(waves: Path | None, begin: int | None, end: int | None) -> "Waves | None":
    """Return which waves were asked for. RunError if that cannot be."""
    from alula.runtime.errors import RunError

    if waves is None:
        if begin is not None or end is not None:
            raise RunError("--waves must name a file for --from and --to, not be left out")
        return None
    from alula.rtl.device import Waves

    start = 0 if begin is None else begin
    if start < 0:
        raise RunError(f"--from must be at least 0, not {start}")
    if end is not None and end <= start:
        raise RunError(f"--to must be above --from, which is {start}, not {end}")
    return Waves(waves, start) if end is None else Waves(waves, start, end)


def _prompt(text: str | None, ids: str | None, file: Path | None) -> str | list[int]:
    """Return the one prompt that was given."""
    from alula.runtime.errors import PromptError

    given = [item for item in (text, ids, file) if item is not None]
    if len(given) != 1:
        ways = "PROMPT, --prompt-ids or --prompt-file"
        raise PromptError(f"the prompt must be given once, by {ways}, not {len(given)} times")
    if file is not None:
        return read_text(file)
    if ids is None:
        return text or ""
    try:
        return [int(word) for word in ids.split(",") if word.strip()]
    except ValueError:
        shown = ids if len(ids) <= _SHOWN else ids[: _SHOWN - 3] + "..."
        raise PromptError(f"--prompt-ids must be numbers such as 1,2,3, not {shown!r}") from None


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file. PromptError if it is none, OSError if it cannot be read."""
    from alula import files
    from alula.runtime.errors import PromptError

    try:
        return files.read_text(path)
    except UnicodeDecodeError:
        raise PromptError(f"the file must be UTF-8 text, not other bytes ({path})") from None
