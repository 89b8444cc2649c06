"""Bytes of the programs, for a short and a long context; weights are not needed."""

from alula.codegen import plan
from alula.design import load_design
from alula.frontend import load
from alula.isa import Program
from alula.runtime.models import get
from benchmarks.report import MODEL, report

CONTEXTS = (256, 8192)


def programs(context: int) -> tuple[Program, Program]:
    architecture = load(get(MODEL)).architecture
    _, _, prefill, decode, _ = plan(architecture, load_design("kv260"), context)
    return prefill, decode


def measure() -> dict[str, object]:
    (prefill, decode), (long_prefill, long_decode) = map(programs, CONTEXTS)
    return {
        "contexts": CONTEXTS,
        "decode_bytes": len(decode.code),
        "prefill_bytes": len(prefill.code),
        "identical_code": decode.code == long_decode.code and prefill.code == long_prefill.code,
    }


if __name__ == "__main__":
    report(measure())
