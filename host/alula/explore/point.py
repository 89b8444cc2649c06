"""One point of a sweep: built, run in RTL beside the machine model, synthesised."""

import numpy as np

from alula.codegen import Build, compile_model
from alula.design import Design
from alula.explore.row import Row
from alula.explore.space import Point
from alula.ir.shapes import RandomCheckpoint
from alula.isa import Program, RegionName, RunInputs
from alula.model import Machine
from alula.quant import QuantizedModel
from alula.rtl.checked import CheckedDevice, Mismatch
from alula.rtl.device import Outcome
from alula.synth import synthesise


def evaluate(point: Point) -> Row:
    """Return what is found of a point. Whatever goes wrong ends it and is the row's reason."""
    row = Row(point.values)
    try:
        design = point.design
        row.design_hash = design.hash
        _simulate(point, design, row)
        _synthesise(design, row)
    except Exception as error:
        own = type(error).__module__.startswith("alula.") or isinstance(error, ValueError)
        text = str(error).strip()
        row.reason = text if own and text else f"{type(error).__name__}: {text}"
    return row


def _simulate(point: Point, design: Design, row: Row) -> None:
    """Run the workload in RTL beside the machine model, filling in cycles and bytes.

    The context of a decoded token is made by the machine model; only the token is run in RTL.
    """
    workload = point.sweep.workload
    architecture = point.sweep.layer.architecture
    context = max((workload.decode_at or 0) + 1, workload.prefill or 0)
    build = compile_model(QuantizedModel(RandomCheckpoint(architecture)), design, context)
    pair = CheckedDevice(design)
    try:
        if workload.prefill is not None:
            pair.load(build.image)
            outcome = _run(pair, build, build.prefill, 0, workload.prefill)
            row.prefill_cycles, row.prefill_bytes = outcome.cycles, outcome.bytes_read
            row.prefill_us = outcome.cycles / design.clock_mhz
        if workload.decode_at is not None:
            pair.load(build.image)
            if workload.decode_at:
                inputs = _inputs(pair.machine, build, 0, workload.decode_at)
                pair.machine.run(build.prefill, inputs)
            outcome = _run(pair, build, build.decode, workload.decode_at, 1)
            row.decode_cycles, row.decode_bytes = outcome.cycles, outcome.bytes_read
            row.decode_us = outcome.cycles / design.clock_mhz
        row.matches_model = True
    except Mismatch:
        row.matches_model = False
        raise
    finally:
        pair.close()


def _run(
    pair: CheckedDevice, build: Build, program: Program, position: int, tokens: int
) -> Outcome:
    """Run a program on both from the machine model's memory; both memories must then be equal."""
    inputs = _inputs(pair.machine, build, position, tokens)
    pair.device.memory[:] = pair.machine.state.memory.bytes
    return pair.run(program, inputs).outcome


def _inputs(machine: Machine, build: Build, position: int, tokens: int) -> dict[str, int]:
    """Write random hidden states for some tokens, and return a program's inputs for them."""
    random = np.random.default_rng([position, tokens])
    start, step = build.image.regions[RegionName.HIDDEN].start, build.row_beats[RegionName.HIDDEN]
    for token in range(tokens):
        values = random.standard_normal(build.architecture.hidden_size).astype(np.float32)
        machine.write(start + token * step, values)
    inputs = RunInputs(
        position=position, tokens=tokens, embed=False, layers=1, head_rows=0, hidden_out=True
    )
    return inputs.registers()


def _synthesise(design: Design, row: Row) -> None:
    report = synthesise(design, workers=1)
    for name in ("lut", "ff", "dsp", "bram36", "uram"):
        setattr(row, name, getattr(report.total, name))
    row.share = max(report.shares.values())
    if not report.fits and row.reason is None:
        row.reason = f"does not fit: {row.share:.0%} of {design.part.name}"
