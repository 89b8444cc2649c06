"""`alula bench`: tokens a second of prompt and answer, in the form of llama-bench."""

import statistics
import time
from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar


@guarded
def bench(
    model: options.Model,
    map: Annotated[
        list[str] | None,
        typer.Option(help="What is measured, once for each map.", show_default="*=torch-fp32"),
    ] = None,
    plan: Annotated[str | None, typer.Option(help="A plan's file, which is measured too.")] = None,
    prompt: Annotated[int, typer.Option("--prompt", "-p", min=1, help="Tokens read.")] = 128,
    new: Annotated[int, typer.Option("--new", "-n", min=1, help="Tokens decoded.")] = 32,
    repeats: Annotated[int, typer.Option("--repeats", "-r", min=2, help="Runs of each.")] = 5,
    json: options.Json = False,
) -> None:
    """Measure prompt and decode tokens a second, mean and standard deviation, by the wall clock.

    What runs on the accelerator is the machine model, which computes exactly and is no hardware.

    [bold]Example[/bold]

    alula bench smollm2-135m --map "*=torch-fp32" --map "*=torch-bf16:cuda" -p 512 -n 128
    """
    from alula.runtime.loading import load_model

    found: list[dict[str, object]] = []
    wanted = [(text, None) for text in map or ([] if plan else ["*=torch-fp32"])]
    with progress_bar() as progress:
        for text, file in [*wanted, *([("*=accel", plan)] if plan else [])]:
            context = prompt + new + 1
            loaded = load_model(model, map=text, plan=file, context=context, progress=progress)
            common = {
                "model": model,
                "params": loaded.checkpoint.architecture.parameters,
                "map": loaded.info.map,
            }
            ids = [index % loaded.info.vocab_size for index in range(1, prompt + 1)]
            for test, phase, count in (("pp", "prefill", prompt), ("tg", "decode", new)):
                progress(f"{loaded.info.map}, {test}{count}", 0, 0)
                rates = []
                for _ in range(repeats + 1):
                    start = time.perf_counter()
                    if phase == "prefill":
                        loaded.executor.forward("prefill", ids, 0)
                    else:
                        for position in range(count):
                            loaded.executor.forward("decode", ids[:1], position)
                    rates.append(count / (time.perf_counter() - start))
                found.append(
                    {
                        **common,
                        "test": f"{test}{count}",
                        "tokens_per_s": statistics.mean(rates[1:]),
                        "stddev": statistics.stdev(rates[1:]),
                        "clock": "wall",
                    }
                )
    if json:
        print_json(found)
        return
    rows = [
        (
            str(one["model"]),
            f"{float(str(one['params'])) / 1e6:.2f} M",
            str(one["map"]),
            str(one["test"]),
            f"{one['tokens_per_s']:.2f} ± {one['stddev']:.2f}",
        )
        for one in found
    ]
    print_table(("model", "params", "map", "test", "t/s"), rows)
