"""Arguments and options that several commands share."""

from typing import Annotated, Literal

import typer


def _models() -> list[str]:
    from alula.runtime.known import KNOWN_MODELS

    return list(KNOWN_MODELS)


def designs() -> list[str]:
    """Return the names of the designs that ship, to complete words with."""
    from alula.design import shipped_designs

    return list(shipped_designs())


def _devices() -> list[str]:
    from alula.runtime.device import device_names

    return device_names()


def _sweeps() -> list[str]:
    from alula.design.shipped import shipped_sweeps

    return list(shipped_sweeps())


def shapes() -> list[str]:
    """Return the names of the known shapes, to complete words with."""
    from alula.ir.shapes import SHAPES

    return list(SHAPES)


def _device_files() -> list[str]:
    from alula.design.shipped import shipped_devices

    return list(shipped_devices())


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A known name, a GGUF file, a Hugging Face folder, a compressed model, an id of the "
        "Hugging Face Hub, or package.module:factory.",
        show_default=False,
        autocompletion=_models,
    ),
]
PlannedModel = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A known shape, which needs no weights, or a model as for alula run.",
        show_default=False,
        autocompletion=shapes,
    ),
]
DeviceFile = Annotated[
    str,
    typer.Option(
        "--devices",
        help="A file of devices, or the name of one that ships.",
        show_default=False,
        autocompletion=_device_files,
    ),
]
Design = Annotated[
    str,
    typer.Option(
        "--design",
        help="A design file, or the name of one that ships.",
        autocompletion=designs,
    ),
]
DesignArgument = Annotated[
    str,
    typer.Argument(
        metavar="DESIGN",
        help="A design file, or the name of one that ships.",
        show_default=False,
        autocompletion=designs,
    ),
]
Sweep = Annotated[
    str,
    typer.Argument(
        metavar="SWEEP",
        help="A sweep file, or the name of one that ships.",
        show_default=False,
        autocompletion=_sweeps,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="What runs the programs: model, or rtl, the gateware, or what a package brings.",
        autocompletion=_devices,
    ),
]
MAP_HELP = "Which units run where: [PHASE:]UNITS=TARGET,... such as layers.0-9=torch,*=accel."
Map = Annotated[
    str,
    typer.Option(
        "--map",
        help=MAP_HELP,
    ),
]
TorchMode = Annotated[
    Literal["int", "float"],
    typer.Option("--torch-mode", help="What torch means in the map: int (exact) or float."),
]
Context = Annotated[
    int | None,
    typer.Option(
        "--context",
        help="Most tokens of a sequence.",
        show_default="all that model and design allow",
    ),
]
AskedModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A known shape, which needs no weights, or a model as for alula run.",
        show_default=False,
        autocompletion=shapes,
    ),
]
AskedRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help="A recipe of alula compress, for the formats of the weights."),
]
AskedContext = Annotated[
    int,
    typer.Option("--context", min=1, help="Tokens of the sequence whose last one is decoded."),
]
AskedPrompt = Annotated[int, typer.Option("--prompt", min=1, help="Tokens of the prompt.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
