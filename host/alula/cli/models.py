"""`alula models`: the models with a name, and their files."""

from typing import Annotated

import typer

from alula.cli import options
from alula.cli.errors import guarded
from alula.cli.output import print_json, print_table
from alula.cli.progress import progress_bar

models = typer.Typer(help="Known models: list, fetch, locate.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A known name.", show_default=False)]


@models.command("list")
@guarded
def list_models(json: options.Json = False) -> None:
    """List the models that have a name."""
    from alula.runtime.known import KNOWN_MODELS
    from alula.runtime.models import find

    found = {name: find(name) for name in KNOWN_MODELS}
    if json:
        print_json(
            [
                {
                    "name": model.name,
                    "about": model.about,
                    "licence": model.licence,
                    "bytes": model.size,
                    "path": str(found[model.name]) if found[model.name] else None,
                }
                for model in KNOWN_MODELS.values()
            ]
        )
        return
    rows = [
        (
            model.name,
            model.about,
            model.licence,
            f"{model.size / 1e6:.0f} MB",
            "here" if found[model.name] else f"alula models get {model.name}",
        )
        for model in KNOWN_MODELS.values()
    ]
    print_table(("name", "what", "licence", "size", "state"), rows)


@models.command("get")
@guarded
def get_model(name: Name, json: options.Json = False) -> None:
    """Fetch a model, check its SHA-256 and keep it in the cache; print its file.

    [bold]Example[/bold]

    alula models get smollm2-135m
    """
    from alula.runtime.models import get

    with progress_bar() as progress:
        path = get(name, progress)
    print_json({"name": name, "path": str(path)}) if json else print(path)


@models.command("path")
@guarded
def model_path(name: Name, json: options.Json = False) -> None:
    """Print the file of a model that is on this machine."""
    from alula.runtime.errors import ModelError
    from alula.runtime.models import find

    path = find(name)
    if path is None:
        raise ModelError(f"{name} must be on this machine, not missing; alula models get {name}")
    print_json({"name": name, "path": str(path)}) if json else print(path)
