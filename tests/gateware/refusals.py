"""Constructors that refuse their parameters."""

import gc
import warnings
from collections.abc import Callable

import pytest


def refuses(text: str, make: Callable[[], object]) -> None:
    """`make` must raise ValueError with this text; Amaranth warns of what was half made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=text):
            make()
        gc.collect()
