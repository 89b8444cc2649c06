"""`alula eval`: perplexity against torch fp32."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json
from alula.cli.progress import progress_bar
from alula.cli.run import read_text


@guarded
def evaluate(
    model: options.Model,
    text: Annotated[Path, typer.Option(help="The UTF-8 text to predict.", show_default=False)],
    tokens: Annotated[int, typer.Option(help="Tokens of the text to read.")] = 2048,
    window: Annotated[int, typer.Option(help="Tokens of a window at most.")] = 512,
    design: options.Design = "kv260",
    device: options.Device = "model",
    map: Annotated[
        str | None,
        typer.Option(
            "--map",
            help=f"{options.MAP_HELP} The machine model's bits are torch's.",
            show_default="*=torch for the machine model, else *=accel",
        ),
    ] = None,
    torch_mode: options.TorchMode = "int",
    context: options.Context = None,
    reference: Annotated[
        str | None,
        typer.Option(help="The model to compare with.", show_default="the same model in fp32"),
    ] = None,
    json: options.Json = False,
) -> None:
    """Measure perplexity against fp32 on the unquantised weights of the same model.

    The reference is the module itself, transformers for a Hugging Face folder that fits memory, and
    for GGUF files our own float reading; the output says which. A compressed model is compared with
    the dense one that it was made of.

    Unless --map says otherwise the machine model's part is torch's, which gives the same bits
    sooner, after a check that the design runs the model.

    Both read the same tokens in the same windows, each of which starts anew: of as many tokens as
    --window says, or the context if it is shorter.

    [bold]Example[/bold]

    alula eval smollm2-135m --text README.md --tokens 1000 --json
    """
    from alula.runtime import evaluation, loading
    from alula.runtime.errors import RunError
    from alula.runtime.reference import reference_of
    from alula.runtime.split import DEFAULT_MAP

    for name, number in (("tokens", tokens), ("window", window)):
        if number < 2:
            raise RunError(f"{name} must be at least 2, not {number}")
    content = read_text(text)
    exact = device == "model" and torch_mode == "int"
    where = map or (evaluation.STAND_IN if exact else DEFAULT_MAP)
    with progress_bar() as progress:
        loaded = loading.load_model(
            model,
            design,
            device,
            where,
            context=context,
            torch_mode=torch_mode,
            progress=progress,
        )
        if map is None and exact:
            evaluation.check_design(loaded.checkpoint, loaded.design, loaded.info.context)
        ids = loading.needed_tokenizer(loaded.checkpoint).encode(content, special=False)[:tokens]
        other = loading.open_model(reference, progress) if reference else loaded.checkpoint
        compared = evaluation.comparable(other, loaded.checkpoint)
        result = evaluation.evaluate(
            loaded.executor,
            reference_of(compared, progress),
            ids,
            loaded.info.context,
            progress,
            window=window,
        )
    if json:
        info = {"device": device, "map": where, "design_hash": loaded.info.design_hash}
        print_json(asdict(result) | info)
        return
    print(f"perplexity      {result.perplexity:.4f}")
    print(f"reference       {result.reference_perplexity:.4f} ({result.reference}, fp32)")
    print(f"ratio           {result.ratio:.4f}")
    print(f"top-1 agreement {100 * result.top1_agreement:.2f}%")
    print(f"over {result.predictions} predictions in windows of {result.window} tokens")
