"""`alula profile`: where accuracy and time go, unit by unit."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar
from alula.cli.run import read_text


@guarded
def profile(
    model: options.Model,
    text: Annotated[Path, typer.Option(help="The UTF-8 text to run on.", show_default=False)],
    design: options.Design = "kv260",
    tokens: Annotated[int, typer.Option(help="Tokens of the text: one sequence.")] = 256,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the numbers (JSON) and a plot; must be new.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Report how far each unit's exact integers are from fp32, and what it takes.

    Of each unit: the signal-to-noise ratio for the float model's input and for what the units
    before it gave; the largest activation and the share that becomes 0 (none is clipped); the
    perplexity with this unit alone on the accelerator, over that of fp32; and, modelled, the cycles
    and bytes of a decoded token. A compressed model is compared with the dense one that it was made
    of.

    [bold]Example[/bold]

    alula profile smollm2-135m --text README.md --out build/profile
    """
    from alula.design import load_design
    from alula.folders import new_folder
    from alula.frontend.compressed import CompressedCheckpoint
    from alula.runtime import profiling
    from alula.runtime.errors import RunError
    from alula.runtime.loading import needed_tokenizer, open_model
    from alula.runtime.reference import dense_alike

    if tokens < 2:
        raise RunError(f"tokens must be at least 2, not {tokens}")
    if out is not None and out.exists():
        raise RunError(f"--out must be a folder that does not exist yet, not {out}")
    chosen, content = load_design(design), read_text(text)
    with progress_bar() as progress:
        checkpoint = open_model(model, progress)
        compressed = isinstance(checkpoint, CompressedCheckpoint)
        dense = dense_alike(checkpoint, progress) if compressed else checkpoint
        most = min(tokens, checkpoint.architecture.max_context)
        ids = needed_tokenizer(checkpoint).encode(content, special=False)[:most]
        found = profiling.profile(checkpoint, dense, chosen, ids, progress)
        if out is not None:
            with new_folder(out) as folder:
                profiling.save(found, folder)
    if json:
        print_json({"tokens": len(ids), "units": [asdict(one) for one in found]})
        return
    print_table(
        ("unit", "SNR dB", "accumulated", "cosine", "peak", "to 0", "ratio", "cycles", "bytes"),
        [
            (
                one.unit,
                f"{one.own.snr_db:.1f}",
                f"{one.accumulated.snr_db:.1f}",
                f"{one.accumulated.cosine:.5f}",
                f"{one.peak:.3g}",
                f"{one.vanished:.1%}",
                f"{one.ratio:.4f}",
                f"{one.cycles:,.0f}",
                f"{one.bytes_read:,.0f}",
            )
            for one in found
        ],
    )
    print(f"\nover {len(ids)} tokens; cycles and bytes of a decoded token are modelled")
