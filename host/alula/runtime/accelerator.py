"""Segments on the accelerator: programs and memory regions of a build, through a device."""

import numpy as np

from alula.codegen import Build
from alula.cost import InstructionTimes, Timeline, time_instructions, time_program
from alula.isa import RegionName, RunInputs
from alula.runtime.device import Bytes, Device
from alula.runtime.kv_memory import KvMemory
from alula.runtime.runs import Run
from alula.runtime.split import Segment
from alula.runtime.worker import Floats, Ids, KvRows, Output, Work


class Accelerator:
    """Runs segments of a compiled model on a device, which it loads with the model's image.

    Args:
        build: the compiled model.
        device: of the build's design.

    Attributes:
        runs: every run of a program so far.
    """

    shared = False
    """A device takes one call at a time."""

    def __init__(self, build: Build, device: Device) -> None:
        design, architecture = build.design, build.architecture
        self._design = design
        self.runs: list[Run] = []
        self._device = device
        self._traffic = build.traffic
        self._programs = {"prefill": build.prefill, "decode": build.decode}
        self._regions = build.image.regions
        self._beat_bytes = design.bytes_per_cycle
        self._row_beats = build.row_beats
        self._chunk = build.chunk
        self._hidden_size = architecture.hidden_size
        self._vocab_size = architecture.vocab_size
        cache = self._regions[RegionName.KV].start
        self._kv = KvMemory(build.kv, design, device, cache, architecture.blocks)
        device.load(build.image)

    def run(self, segment: Segment, work: Work) -> Output:
        """Run a segment; see `Worker.run`. MachineError if the device cannot."""
        source, rows = work.source, work.rows
        if not segment.head or rows <= self._rows_at_once(len(source)):
            return self._run(segment, work)
        parts = []
        for start in range(0, len(source), self._chunk):
            chunk = source[start : start + self._chunk]
            wanted = min(len(chunk), max(0, start + len(chunk) - (len(source) - rows)))
            position, logits = work.position + start, work.logits and wanted > 0
            parts.append(self._run(segment, Work(work.phase, chunk, position, wanted, logits)))
        found = [part.logits for part in parts if part.logits is not None]
        return Output(token=parts[-1].token, logits=np.concatenate(found) if work.logits else None)

    def timeline(self, run: Run) -> Timeline:
        """Return what the cycle model finds of a run: modelled cycles."""
        return time_program(run.program, self._design, run.inputs)

    def instructions(self, run: Run, most: int) -> InstructionTimes | None:
        """Return when each instruction of a run is at work by the cycle model: modelled cycles.

        None if they are more than `most`.
        """
        return time_instructions(run.program, self._design, run.inputs, most)

    def read_kv(self, layer: int, start: int, stop: int) -> KvRows:
        """Return keys and values held in memory; see `Worker.read_kv`."""
        return self._kv.read(layer, start, stop)

    def write_kv(self, layer: int, start: int, rows: KvRows) -> None:
        """Put keys and values into memory; see `Worker.write_kv`."""
        self._kv.write(layer, start, rows)

    def _rows_at_once(self, tokens: int) -> int:
        """Return how many rows a run has at its end: those of its last chunk."""
        return (tokens - 1) % self._chunk + 1

    def _run(self, segment: Segment, work: Work) -> Output:
        """Run the program once; `work.rows` may be 0, and must be within the last chunk."""
        phase, source, position, rows = work.phase, work.source, work.position, work.rows
        tokens, logits = len(source), work.logits
        if segment.embed:
            self._write_ids(source)
        else:
            self._write_rows(RegionName.HIDDEN, source)
        layers = len(segment.layers)
        program = self._programs[phase]
        inputs = RunInputs(
            position=position,
            tokens=tokens,
            embed=segment.embed,
            first_layer=segment.layers.start,
            layers=layers,
            head_rows=rows if segment.head else 0,
            logits=logits and segment.head,
            hidden_out=not segment.head,
        ).registers()
        self._device.run(program, inputs)
        head, embed = segment.head and rows > 0, segment.embed
        self.runs.append(
            Run(
                phase,
                position,
                tokens,
                self._traffic.read(
                    position=position,
                    tokens=tokens,
                    layers=segment.layers,
                    embed=embed,
                    head=head,
                ),
                self._traffic.written(tokens=tokens, layers=layers, head=head),
                self._device.counters,
                self._device.seconds,
                program,
                inputs,
                getattr(self._device, "retired", ()),
            )
        )
        if not segment.head:
            return Output(hidden=self._read_rows(RegionName.HIDDEN, tokens, self._hidden_size))
        return Output(
            token=self._read_token() if rows else None,
            logits=self._read_rows(RegionName.LOGITS, rows, self._vocab_size) if logits else None,
        )

    def _write_ids(self, ids: Ids | Floats) -> None:
        """Write token ids; each chunk starts at a beat."""
        chunks = -(-len(ids) // self._chunk)
        padded = np.zeros((chunks, self._row_beats[RegionName.IDS] * self._beat_bytes // 4), "<u4")
        for index in range(chunks):
            part = ids[index * self._chunk : (index + 1) * self._chunk]
            padded[index, : len(part)] = part
        self._write(RegionName.IDS, padded.view(np.uint8))

    def _write_rows(self, region: RegionName, rows: Ids | Floats) -> None:
        """Write fp32 rows, each of which starts at a beat."""
        padded = np.zeros((len(rows), self._row_beats[region] * self._beat_bytes // 4), "<f4")
        padded[:, : rows.shape[1]] = rows
        self._write(region, padded.view(np.uint8))

    def _write(self, region: RegionName, data: Bytes) -> None:
        self._device.write(self._regions[region].start, data.reshape(-1, self._beat_bytes))

    def _read_rows(self, region: RegionName, count: int, width: int) -> Floats:
        beats = self._row_beats[region]
        data = self._device.read(self._regions[region].start, count * beats)
        floats = np.ascontiguousarray(data).view("<f4").reshape(count, -1)
        return floats[:, :width].astype(np.float32)

    def _read_token(self) -> int:
        data = self._device.read(self._regions[RegionName.RESULT].start, 1)
        return int(np.ascontiguousarray(data).view("<u4").flat[0])
