"""The kernels for a GPU give what those of the CPU give."""

import numpy as np
import pytest
import torch

from alula.compress import runs, runs_gpu

ROWS, INPUTS = 7, 16


def numbers(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    kept = random.random((ROWS, INPUTS)) < 0.7
    levels = random.integers(-4, 4, (ROWS, INPUTS)) * kept
    upper = np.triu(random.integers(-2, 3, (INPUTS, INPUTS)), 1) / 4
    return {
        "work": random.normal(0, 3, (ROWS, INPUTS)).astype(np.float32),
        "scale": random.choice([-2.0, 0.5, 1.0], ROWS).astype(np.float32),
        "offset": random.integers(-4, 5, ROWS).astype(np.float32) / 4,
        "square": (upper + np.diag(random.choice([1, 2], INPUTS))).astype(np.float32),
        "kept": kept,
        "levels": levels.astype(np.float32),
        "out": np.zeros((ROWS, INPUTS), np.float32),
    }


def both(name: str, seed: int, order: str, *rest: float) -> list[dict[str, np.ndarray]]:
    """The numbers after either kernel; `order` names its arguments, a `-` is one of `rest`."""
    results = []
    for module, make in ((runs, np.array), (runs_gpu, torch.tensor)):
        given = {key: make(value) for key, value in numbers(seed).items()}
        plain = iter(rest)
        arguments = [next(plain) if key == "-" else given[key] for key in order.split()]
        getattr(module, name)(*arguments)
        results.append({key: np.asarray(value) for key, value in given.items()})
    return results


CASES = {
    "compensate": ("work scale offset square kept - - levels out", np.float32(-4), np.float32(3)),
    "descend": ("work scale square kept - - levels out", np.float32(-4), np.float32(3)),
    "prune": ("work square - kept out", 8),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CASES)
def test_both_give_the_same(name: str, seed: int) -> None:
    cpu, gpu = both(name, seed, *CASES[name])
    for key in ("levels", "kept"):
        np.testing.assert_array_equal(gpu[key], cpu[key], err_msg=key)
    np.testing.assert_allclose(gpu["out"], cpu["out"], rtol=1e-4, atol=1e-4)
    assert (cpu["out"] != 0).any()
