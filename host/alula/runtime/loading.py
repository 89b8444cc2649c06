"""From a model's name to a session: checkpoint, split, build, device, tokenizer."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alula.design import Design, load_design
from alula.frontend import Checkpoint
from alula.frontend import load as load_checkpoint
from alula.progress import Progress, silent
from alula.runtime.cache import built
from alula.runtime.device import Device, Opener, find_device
from alula.runtime.errors import RunError, TokenizerError
from alula.runtime.executor import Executor
from alula.runtime.known import KNOWN_MODELS
from alula.runtime.models import is_known, resolve
from alula.runtime.planning.plan import Plan
from alula.runtime.planning.plan_file import load_plan
from alula.runtime.planning.work import work_of
from alula.runtime.runs import Run
from alula.runtime.session import Session, SessionInfo
from alula.runtime.split import ACCEL, DEFAULT_MAP, Split, Target, TorchMode, parse_split
from alula.runtime.tokenizer import BoundedTokenizer
from alula.runtime.worker import Worker

if TYPE_CHECKING:
    from torch import nn

    from alula.runtime.accelerator import Accelerator

_LOG = logging.getLogger(__name__)

DEFAULT_DESIGN = "kv260"
MOST_CONTEXT = 1 << 31
"""Tokens that may be asked for; whether they fit is the fit report's to say."""


@dataclass(frozen=True)
class Loaded:
    """A model with everything that runs it.

    Attributes:
        checkpoint: the model.
        design: the accelerator.
        executor: runs the model by its split.
        info: what it runs on.
        runs: every run of the accelerator so far; it grows.
        device: what runs the accelerator's programs; None if nothing runs there.
        accelerator: what runs segments there; None if nothing does.
    """

    checkpoint: Checkpoint
    design: Design
    executor: Executor
    info: SessionInfo
    runs: Sequence[Run]
    device: Device | None
    accelerator: "Accelerator | None"


def load(
    model: "str | Path | nn.Module",
    design: str | Path | Design = DEFAULT_DESIGN,
    device: str | Opener = "model",
    map: str = DEFAULT_MAP,
    *,
    context: int | None = None,
    torch_mode: TorchMode = "int",
    plan: Plan | str | Path | None = None,
    timeout_s: float | None = None,
    progress: Progress = silent,
) -> Session:
    """Return a session with a model, compiled for a design or taken from the cache.

    Args:
        model: a known name, a GGUF file, a folder, `package.module:factory`, or a module.
        design: a design, its file, or the name of one that ships with Alula.
        device: what runs the accelerator's programs: a name, or what opens a device, such as
            `partial(GatewareDevice, lockstep=Path("lockstep.fst"))`.
        map: which units run where; see `alula.runtime.split`.
        context: most tokens of a sequence; by default what the model and the design allow. A module
            is compared with what was read of it up to this length, by default as far as takes
            about half a minute, which then limits the context too.
        torch_mode: what the target `torch` means in the map.
        plan: a plan or its file, which says map, design and context; those are then left out.
        timeout_s: seconds after which a segment, or keys and values on their way, count as failed;
            None: no limit.
        progress: called with how far downloading, compiling, building a simulator and its runs are.

    Raises:
        RunError: the map, the device or the context cannot be, or the model cannot be fetched.
        PluginError: the device is another package's, and is none.
        DesignError: the design cannot be.
        FrontendError: the model cannot be read or is not supported.
        DoesNotFit: the design is too small for the model.
        OSError: the cache cannot be written.
    """
    loaded = load_model(
        model,
        design,
        device,
        map,
        context=context,
        torch_mode=torch_mode,
        plan=plan,
        timeout_s=timeout_s,
        progress=progress,
    )
    return session_of(loaded)


def session_of(loaded: Loaded) -> Session:
    """Return a session with a model that is ready to run."""
    return Session(
        loaded.executor,
        loaded.info,
        load_tokenizer(loaded.checkpoint),
        loaded.runs,
        loaded.design,
        loaded.accelerator,
        loaded.checkpoint,
    )


def load_model(
    model: "str | Path | nn.Module",
    design: str | Path | Design = DEFAULT_DESIGN,
    device: str | Opener = "model",
    map: str = DEFAULT_MAP,
    *,
    context: int | None = None,
    torch_mode: TorchMode = "int",
    plan: Plan | str | Path | None = None,
    timeout_s: float | None = None,
    progress: Progress = silent,
) -> Loaded:
    """Return a model ready to run, without a tokenizer; see `load`."""
    if timeout_s is not None and not 0 < timeout_s < math.inf:
        raise RunError(f"timeout_s must be above 0, not {timeout_s:g}")
    opener = find_device(device) if isinstance(device, str) else device
    planned = load_plan(plan) if isinstance(plan, str | Path) else plan
    if planned is not None:
        design, map = _of_plan(planned, design, map)
        context = planned.context if context is None else context
    chosen = design if isinstance(design, Design) else load_design(design)
    checkpoint = open_model(model, progress, context)
    architecture = checkpoint.architecture
    if planned is not None and work_of(planned.model, architecture).shape != planned.shape:
        raise RunError(f"the plan must be of {checkpoint.source}, not of {planned.model}")
    split = parse_split(map, architecture.units, torch_mode)
    tokens = context_of(checkpoint, chosen, context)
    workers = _torch_workers(split, checkpoint, tokens)
    runs: Sequence[Run] = ()
    program_bytes = 0
    opened = accelerator = None
    if ACCEL in split.targets:
        from alula.runtime.accelerator import Accelerator

        build = built(checkpoint, chosen, tokens, progress)
        opened = opener(chosen, progress)
        accelerator = Accelerator(build, opened)
        workers[ACCEL] = accelerator
        runs, program_bytes = accelerator.runs, len(build.decode.code)
    info = SessionInfo(
        model=model if isinstance(model, str) else str(checkpoint.source),
        device=device if isinstance(device, str) else opened.name if opened else "none",
        design_hash=chosen.hash,
        map=map,
        context=tokens,
        vocab_size=architecture.vocab_size,
        program_bytes=program_bytes,
    )
    rewinds = architecture.blocks is None or ACCEL not in split.targets
    streams = planned is None or planned.devices.handover == "streamed"
    executor = Executor(split, workers, timeout_s, streams=streams, rewinds=rewinds)
    return Loaded(checkpoint, chosen, executor, info, runs, opened, accelerator)


def _of_plan(plan: Plan, design: str | Path | Design, map: str) -> tuple[str | Path | Design, str]:
    """Return design and map of a plan. RunError if others were asked for."""
    if map not in (DEFAULT_MAP, plan.map):
        raise RunError(f"the map must be the plan's, {plan.map}, not {map}")
    if plan.design is None:
        return design, plan.map
    asked = design if isinstance(design, Design) else load_design(design)
    if design != DEFAULT_DESIGN and asked != load_design(plan.design):
        raise RunError(f"the design must be the plan's, {plan.design}, not {asked.name}")
    return plan.design, plan.map


def open_model(
    model: "str | Path | nn.Module", progress: Progress = silent, context: int | None = None
) -> Checkpoint:
    """Return a model as the compiler reads it; a known one is fetched if it must be.

    What was narrowed on the way in is logged as a warning.

    Raises:
        RunError: it cannot be fetched, or the context is not positive.
        FrontendError: it cannot be read or is not supported.
        OSError: the cache cannot be written.
    """
    if context is not None:
        _check_context(context)
    # What a known model's file holds has been checked just now: its bytes are hashed once.
    known = isinstance(model, str) and is_known(model)
    checkpoint = load_checkpoint(
        resolve(model, progress) if isinstance(model, str) else model,
        progress,
        digest=KNOWN_MODELS[str(model)].sha256 if known else None,
        context=context,
    )
    for note in checkpoint.notes:
        _LOG.warning("%s (%s)", note, checkpoint.source)
    return checkpoint


def context_of(checkpoint: Checkpoint, design: Design, context: int | None) -> int:
    """Return the context to use: the one asked for, or the most that both sides allow.

    RunError if it is not positive. Whether it fits is the fit report's to say.
    """
    if context is None:
        return min(checkpoint.architecture.max_context, design.context_max)
    _check_context(context)
    return context


def _check_context(context: int) -> None:
    if context < 1:
        raise RunError(f"context must be at least 1, not {context}")
    if context > MOST_CONTEXT:
        raise RunError(f"context must be at most {MOST_CONTEXT}, not {context}")


def load_tokenizer(checkpoint: Checkpoint) -> BoundedTokenizer | None:
    """Return a model's tokenizer, None if it has none."""
    if checkpoint.tokenizer_source is None:
        return None
    from alula.runtime.tokenizer_sources import open_tokenizer

    return open_tokenizer(checkpoint.tokenizer_source, checkpoint.content_id)


def needed_tokenizer(checkpoint: Checkpoint) -> BoundedTokenizer:
    """Return a model's tokenizer. TokenizerError if it has none."""
    tokenizer = load_tokenizer(checkpoint)
    if tokenizer is None:
        raise TokenizerError(f"the model must have a tokenizer, not none ({checkpoint.source})")
    return tokenizer


def _torch_workers(split: Split, checkpoint: Checkpoint, context: int) -> dict[Target, Worker]:
    return {target: torch_worker(target, checkpoint, context) for target in split.targets - {ACCEL}}


def torch_worker(target: Target, checkpoint: Checkpoint, context: int) -> Worker:
    """Return what runs segments on a target of torch.

    Raises:
        DeviceError: this machine lacks the device.
    """
    from alula.frontend.float_reference import FloatReference
    from alula.quant import QuantizedModel, padded
    from alula.quant.reference import IntegerReference
    from alula.runtime.fixed_units import fixed_float, fixed_integer
    from alula.runtime.torch_units import FloatUnits, IntegerUnits, torch_device

    device = torch_device(target.device)
    if target.kind == "torch-float":
        return FloatUnits(FloatReference(padded(checkpoint), device))
    if target.kind != "torch-int":
        return fixed_float(padded(checkpoint), device, target.kind, context)
    if device.type == "cuda":
        return fixed_integer(QuantizedModel(checkpoint), device, context)
    return IntegerUnits(IntegerReference(QuantizedModel(checkpoint), device))
