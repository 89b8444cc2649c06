"""A Hugging Face folder as transformers runs it: a reading of it that owes nothing to Alula's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch

from alula.frontend.configuration import one_line, quiet_transformers
from alula.frontend.original import Original
from alula.frontend.refusal import FrontendError


def open_pretrained(folder: Path) -> Original:
    """The folder's model by transformers in float32, from safetensors alone, no code of the folder.

    Raises:
        FrontendError: transformers does not read it, or would make up some of its weights.
    """
    from transformers import AutoModelForCausalLM

    try:
        with quiet_transformers(), _without_bars():
            model, report = cast("Any", AutoModelForCausalLM).from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise FrontendError(
            f"transformers must read the folder, not fail: {one_line(error)} ({folder})"
        ) from error
    made_up = sorted((*report["missing_keys"], *map(str, report["mismatched_keys"])))
    if made_up:
        raise FrontendError(
            f"transformers must find every weight, not miss {made_up[0]} and {len(made_up) - 1} "
            f"more ({folder})"
        )
    return Original(model.eval(), str(folder), "transformers")


@contextmanager
def _without_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
