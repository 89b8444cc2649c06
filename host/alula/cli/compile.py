"""`alula compile`: programs and image of a model for a design."""

from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json
from alula.cli.progress import progress_bar


@guarded
def compile(
    model: options.Model,
    design: options.Design = "kv260",
    context: options.Context = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for image, programs and description; must be new."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Compile a model for a design, and say whether and how it fits.

    [bold]Examples[/bold]

    alula compile smollm2-135m --design kv260 --context 2048 --out build/

    alula compile smollm2-135m --design tiny --json
    """
    from alula.design import load_design
    from alula.folders import new_folder
    from alula.mapper import DoesNotFit
    from alula.runtime.cache import built
    from alula.runtime.errors import RunError
    from alula.runtime.loading import context_of, open_model
    from alula.runtime.prediction import modelled, predicted

    if out is not None and out.exists():
        raise RunError(f"--out must be a folder that does not exist yet, not {out}")
    chosen = load_design(design)
    with progress_bar() as progress:
        checkpoint = open_model(model, progress, context)
        tokens = context_of(checkpoint, chosen, context)
        try:
            build = built(checkpoint, chosen, tokens, progress)
        except DoesNotFit as error:
            if json:
                print_json({"fits": False, "fit": error.report.as_dict(), "reason": str(error)})
            else:
                print(error.report.table())
            tell(str(error))
            raise typer.Exit(USER_ERROR) from None
        if out is not None:
            with new_folder(out) as folder:
                build.save(folder)
    first, last = (predicted(chosen, build.traffic, position) for position in (0, tokens - 1))
    modelled_tokens = list(modelled(build))
    beat = chosen.bytes_per_cycle
    sizes = {
        "decode_program_bytes": len(build.decode.code),
        "prefill_program_bytes": len(build.prefill.code),
        "image_bytes": int(build.image.data.nbytes),
        "kv_bytes": build.kv.beats * beat,
    }
    if json:
        info = {"context": tokens, "design_hash": chosen.hash, "out": str(out) if out else None}
        bounds = {
            "predicted": first.as_dict(),
            "predicted_at_full_context": last.as_dict(),
            "modelled": [token.as_dict() for token in modelled_tokens],
        }
        print_json(sizes | {"fits": build.fit.fits} | info | bounds)
        return
    print(build.fit.table())
    print()
    for name, size in sizes.items():
        print(f"{name.replace('_', ' '):21} {size:>13,}")
    print()
    for bound in (first, last):
        print(bound.line())
    print(first.source)
    print()
    for token in modelled_tokens:
        print(token.line())
    print(f"modelled: off by at most {modelled_tokens[0].error:.1%} where RTL was compared")
