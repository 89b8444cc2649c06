"""`alula compress`: a model in fewer bits, its matrices chosen on a text."""

from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import USER_ERROR, guarded, tell
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar


def _recipes() -> list[str]:
    from alula.design.shipped import shipped_recipes

    return list(shipped_recipes())


@guarded
def compress(
    model: options.Model,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the compressed model; must be new. Until it is there OUT.work keeps "
            "what is done, and the same command goes on from that.",
            show_default=False,
        ),
    ],
    recipe: Annotated[
        str,
        typer.Option(help="A recipe file, or the name of one that ships.", autocompletion=_recipes),
    ] = "default",
    design: options.Design = "kv260",
    text: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file or folder of text to choose weights on; may be given several times.",
            show_default="those of the recipe",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            help="The text to measure perplexity on.",
            show_default="windows of the other texts that no weight was chosen on",
        ),
    ] = None,
    test_tokens: Annotated[int, typer.Option(help="Tokens of it.")] = 2048,
    torch_device: Annotated[str, typer.Option(help="Where the models run: cpu, or cuda.")] = "cpu",
    json: options.Json = False,
) -> None:
    """Compress a model by a recipe: bits and N:M pattern of each matrix, chosen on a text.

    The result is a folder that is a MODEL for every other command. Perplexity is that of its exact
    integers, compared with the dense model in fp32.

    [bold]Examples[/bold]

    alula compress smollm2-135m --text book.txt --out build/smollm2

    alula compress smollm2-135m --recipe w3 --text /usr/share/doc --out build/w3

    alula compress smollm2-135m --recipe 8-16 --design kv260-sparse --text book.txt --out build/8-16
    """
    from alula.compress.recipe import load_recipe
    from alula.design import load_design
    from alula.runtime.compression import compress_model
    from alula.runtime.compression_request import CompressionRequest
    from alula.runtime.errors import RunError

    if test_tokens < 2:
        raise RunError(f"test-tokens must be at least 2, not {test_tokens}")
    chosen, place = load_recipe(recipe)
    request = CompressionRequest(
        model=model,
        design=load_design(design),
        recipe=chosen,
        recipe_path=place,
        texts=text or [],
        test=test,
        test_tokens=test_tokens,
        out=out,
        torch_device=torch_device,
    )
    try:
        with progress_bar() as progress:
            result = compress_model(request, progress)
    except KeyboardInterrupt:
        kept = f"; {request.work} has what is done, and the same command goes on"
        tell("interrupted" + (kept if request.work.exists() else ""))
        raise typer.Exit(USER_ERROR) from None
    if json:
        print_json(result.as_dict())
        return
    print_table(("format", "method", "matrices", "bytes"), result.summary())
    print()
    print(f"average bits    {result.average_bits:.3f} of a value in layers")
    print(f"stored bits     {result.stored_bits:.3f} of a weight with scales, mins and indices")
    print(f"bytes per token {result.bytes_per_token:,}")
    print(f"perplexity      {result.perplexity:.4f}")
    print(f"reference       {result.reference_perplexity:.4f} (the dense model, fp32)")
    print(f"ratio           {result.ratio:.4f}")
    print(f"over {result.test_tokens} tokens of {result.test}")
    if result.budget_ratio is not None:
        print(f"budget's ratio  {result.budget_ratio:.4f} on text that no integer was chosen on")
