"""The gateware of kv260 in Verilator: how long its build takes, then a prefill and two tokens."""

import os
import tempfile
import time
from typing import Any

from alula.design import load_design
from alula.rtl.device import RtlDevice
from alula.runtime.errors import MismatchError
from alula.runtime.loading import load_model
from alula.runtime.models import get
from alula.runtime.runs import rtl_report
from benchmarks.report import MODEL, progress_shown, report

PROMPT = 16
TOKENS = 2


def measure(model: str = "", design: str = "kv260", context: int = 512) -> dict[str, Any]:
    """Build with an empty cache, then run; the machine model runs along."""
    path = model or str(get(MODEL))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, progress_shown() as progress:
        before = os.environ.get("ALULA_CACHE")
        os.environ["ALULA_CACHE"] = folder
        try:
            start = time.monotonic()
            RtlDevice(load_design(design), progress=progress).close()
            found["cold_build_s"] = time.monotonic() - start
            loaded = load_model(path, design, "rtl", context=context, progress=progress)
            ids = [token % loaded.info.vocab_size for token in range(1000, 1000 + PROMPT)]
            token = loaded.executor.forward("prefill", ids, 0).token
            for position in range(PROMPT, PROMPT + TOKENS):
                assert token is not None
                token = loaded.executor.forward("decode", [token], position).token
        except MismatchError as error:
            return found | {"matches_model": False, "mismatch": str(error)}
        finally:
            os.environ.pop("ALULA_CACHE")
            os.environ |= {} if before is None else {"ALULA_CACHE": before}
    beyond = [run.counters["bytes_written"] - run.must_write for run in loaded.runs]
    result = rtl_report(loaded.runs, loaded.design)
    return found | result | {"matches_model": True, "bytes_beyond": max(map(abs, beyond))}


if __name__ == "__main__":
    report(measure())
