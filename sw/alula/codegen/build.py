"""From a quantised model to an image and two programs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from alula.codegen.image import build_image
from alula.codegen.plan import plan
from alula.design import Design
from alula.ir import Architecture
from alula.isa import ContainerError, Image, Program
from alula.kept import damage, seal
from alula.mapper import FitReport, KvLayout, Traffic, traffic
from alula.progress import Progress, silent
from alula.quant import QuantizedModel

_FILES = ("build.json", "decode.alula", "image.alula", "prefill.alula")


@dataclass(frozen=True)
class Build:
    """What a device needs to run a model, and what the host needs to know about it.

    `row_beats`: for regions made of rows (hidden, logits, ids), beats of one row. `traffic`: bytes
    that any design must move.
    """

    design: Design
    architecture: Architecture
    context: int
    image: Image
    prefill: Program
    decode: Program
    fit: FitReport
    kv: KvLayout
    row_beats: dict[str, int]
    traffic: Traffic

    @property
    def chunk(self) -> int:
        """Tokens of a prefill chunk."""
        return self.fit.chunk

    def save(self, folder: Path | str) -> None:
        """Write image, programs and description into `folder`, and the SHA-256 of each."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.write(folder)
        seal(folder, _FILES)

    @classmethod
    def load(cls, folder: Path | str) -> "Build":
        """What `save` wrote; the image is mapped.

        Raises:
            ContainerError: a file is missing or is not what was written; the message names it.
        """
        folder = Path(folder)
        found = damage(folder, others=True)
        if found is not None:
            raise ContainerError(f"{folder} must be a build as it was written: {found}")
        return cls.read(folder)

    def write(self, folder: Path) -> None:
        """Write the files of `save` alone, for a folder that its keeper seals."""
        self.image.save(folder / "image.alula")
        self.prefill.save(folder / "prefill.alula")
        self.decode.save(folder / "decode.alula")
        description = {
            "design": self.design.model_dump(mode="json"),
            "architecture": self.architecture.to_json(),
            "context": self.context,
            "fit": self.fit.as_dict(),
            "kv": asdict(self.kv),
            "row_beats": self.row_beats,
            "traffic": asdict(self.traffic),
        }
        (folder / "build.json").write_text(
            json.dumps(description, indent=1, sort_keys=True) + "\n", encoding="utf-8"
        )

    @classmethod
    def read(cls, folder: Path) -> "Build":
        """What `write` wrote, from a folder that its keeper has checked."""
        description = json.loads((folder / "build.json").read_text(encoding="utf-8"))
        return cls(
            Design.from_mapping(description["design"], str(folder / "build.json")),
            Architecture.from_json(description["architecture"]),
            description["context"],
            Image.load(folder / "image.alula"),
            Program.load(folder / "prefill.alula"),
            Program.load(folder / "decode.alula"),
            FitReport.from_dict(description["fit"]),
            KvLayout(**description["kv"]),
            description["row_beats"],
            Traffic.from_dict(description["traffic"]),
        )


def compile_model(
    model: QuantizedModel, design: Design, context: int, progress: Progress = silent
) -> Build:
    """Place a model, generate its programs and fill its image.

    Raises DoesNotFit before any tensor is read. Peak memory is the image plus one matrix in float.
    """
    graph, memory, prefill, decode, fit = plan(model.architecture, design, context, model.precision)
    data: np.ndarray = build_image(graph, memory, model, design, progress)
    image = Image(design.hash, data, memory.regions)
    return Build(
        design,
        model.architecture,
        context,
        image,
        prefill,
        decode,
        fit,
        memory.kv,
        dict(memory.row_beats),
        traffic(model.original, model.precision),
    )
