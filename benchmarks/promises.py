"""What is promised: which measured value, and what it must be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIMULATED, SYNTHESISED, ESTIMATED, PLACED = "simulated", "synthesised", "estimated", "placed"


@dataclass(frozen=True)
class Promise:
    """One line of the table: a value of the results and its bound; `how` it was found."""

    what: str
    measurement: str
    key: str
    bound: float
    at_least: bool = False
    scale: float = 1.0
    unit: str = ""
    digits: int = 3
    how: str = "measured"

    def measured(self, results: Mapping[str, Any]) -> bool:
        return self.key in results.get(self.measurement, {})

    def value(self, results: Mapping[str, Any]) -> float:
        return results[self.measurement][self.key] / self.scale

    def met(self, results: Mapping[str, Any]) -> bool:
        value = self.value(results)
        return value >= self.bound if self.at_least else value <= self.bound

    def shown(self, number: float) -> str:
        return f"{number:,.{self.digits}f}{self.unit}"


PROMISES = (
    Promise("perplexity, ratio to torch fp32", "accuracy", "ratio", 1.02, digits=4),
    Promise("top-1 agreement", "accuracy", "top1_agreement", 93, True, 0.01, "%", 1),
    Promise("decode program", "size", "decode_bytes", 65536, unit=" bytes", digits=0),
    Promise("prefill program", "size", "prefill_bytes", 65536, unit=" bytes", digits=0),
    Promise("same code for context 256 and 8192", "size", "identical_code", 1, True, digits=0),
    Promise("decode speed, ratio to transformers fp32", "speed", "decode_ratio", 1, True, digits=2),
    Promise("eval, ratio to transformers fp32", "evaluation", "ratio", 0.5, True, digits=2),
    Promise("first load and compile", "loading", "first_load_s", 60, unit=" s", digits=1),
    Promise("cached load", "loading", "cached_load_s", 5, unit=" s", digits=1),
    Promise("peak memory", "loading", "peak_bytes", 4, scale=1e9, unit=" GB", digits=2),
    Promise(
        "RTL: prefill and tokens equal the model's",
        "rtl",
        "matches_model",
        1,
        True,
        digits=0,
        how=SIMULATED,
    ),
    Promise(
        "RTL: bytes written but for K, V and result",
        "rtl",
        "bytes_beyond",
        0,
        digits=0,
        how=SIMULATED,
    ),
    Promise("RTL: simulation", "rtl", "sim_cycles_per_s", 50_000, True, unit=" cycles/s", digits=0),
    Promise("RTL: speed, ratio to cocotb's runner", "percycle", "runner_ratio", 20, True, digits=1),
    Promise("RTL: speed, ratio to alula.bench", "percycle", "bench_ratio", 20, True, digits=1),
    Promise("RTL: cold build", "rtl", "cold_build_s", 360, unit=" s", digits=0),
    Promise(
        "stream efficiency, context 128",
        "stream",
        "stream_efficiency_128",
        0.97,
        True,
        how=SIMULATED,
    ),
    Promise(
        "stream efficiency, context 512",
        "stream",
        "stream_efficiency_512",
        0.97,
        True,
        how=SIMULATED,
    ),
    Promise(
        "prefill of 128 tokens, share of peak",
        "prefill",
        "share_of_peak",
        0.85,
        True,
        how=SIMULATED,
    ),
    *(
        Promise(
            f"attention to 30% of blocks, {phase}: cycles a position, ratio to dense",
            "blocks",
            f"{phase}_per_position",
            1.05,
            digits=2,
            how=SIMULATED,
        )
        for phase in ("decode", "prefill")
    ),
    Promise("cycle model to RTL: median error", "cost", "median_error", 1, False, 0.01, "%", 2),
    Promise("cycle model to RTL: largest error", "cost", "largest_error", 3, False, 0.01, "%", 2),
    Promise("bounds, a core", "cost", "bounds_per_s", 1_000_000, True, unit="/s", digits=0),
    Promise("cycle model, a core", "cost", "predictions_per_s", 200, True, unit="/s", digits=0),
    Promise("resources to synthesis: held-out designs", "resources", "designs", 6, True, digits=0),
    *(
        Promise(
            f"{title} to synthesis, held out: largest error",
            "resources",
            f"{name}_error",
            bound,
            False,
            0.01,
            "%",
            1,
        )
        for title, name, bound in (
            ("LUT", "lut", 10),
            ("FF", "ff", 10),
            ("DSP", "dsp", 0),
            ("BRAM36", "bram36", 5),
            ("UltraRAM", "uram", 5),
        )
    ),
    Promise("resources, a core", "resources", "estimates_per_s", 1_000, True, unit="/s", digits=0),
    Promise(
        "search with a tenth of the evaluations: hypervolume",
        "sweep",
        "hypervolume_share",
        98,
        True,
        0.01,
        "%",
        2,
    ),
    Promise("ready sweep of kv260, 20 points in RTL", "sweep", "seconds", 900, unit=" s", digits=0),
    Promise(
        "its best at no more LUT: tokens/s over kv260",
        "sweep",
        "tokens_ratio",
        1,
        True,
        how="modelled",
    ),
    Promise("a layer of LLaMA2-7B: speed, ratio to ZigZag", "zigzag", "speed_ratio", 1, True),
    Promise(
        "kv260: largest share of its part",
        "synthesis",
        "largest_share",
        80,
        False,
        0.01,
        "%",
        1,
        SYNTHESISED,
    ),
    Promise(
        "kv260: DSPs beyond the declared",
        "synthesis",
        "dsp_beyond_declared",
        0,
        digits=0,
        how=SYNTHESISED,
    ),
    Promise("kv260: LUT a MAC", "synthesis", "lut_per_mac", 100, digits=0, how=SYNTHESISED),
    Promise("kv260: clock", "synthesis", "mhz", 300, True, 1, " MHz", 0, ESTIMATED),
    Promise(
        "kv260: clock at the slow setting",
        "synthesis",
        "mhz_slow",
        225,
        True,
        1,
        " MHz",
        0,
        ESTIMATED,
    ),
    Promise("kv260: LUT levels", "synthesis", "levels", 7, digits=0, how=SYNTHESISED),
    Promise(
        "chain: INT8 products a DSP48E2",
        "synthesis",
        "products_per_dsp",
        2,
        True,
        digits=2,
        how=SYNTHESISED,
    ),
    Promise(
        "tiny on ECP5-85F, placed and routed",
        "placement",
        "fmax_mhz",
        80,
        True,
        unit=" MHz",
        digits=1,
        how=PLACED,
    ),
)
