"""What `alula run` prints of an answer."""

import sys
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from alula.cli.output import print_json

if TYPE_CHECKING:
    from alula.runtime.errors import MismatchError, OutOfStepError, UnitError
    from alula.runtime.loading import Loaded
    from alula.runtime.prediction import Prediction
    from alula.runtime.session import Generation, Session
    from alula.runtime.verification import Verification


def print_difference(error: "MismatchError | OutOfStepError | UnitError", device: str) -> None:
    """Print as JSON what differs, from torch where it is a unit, else from the machine model."""
    from alula.runtime.errors import UnitError

    if isinstance(error, UnitError):
        found = {"matches_torch": False, "reason": str(error)}
    else:
        found = {"matches_model": False, **vars(error)}
    print_json({"device": device, **found})


@dataclass
class Answer:
    """A generation, what made it, and what torch says of it if it was asked.

    Attributes:
        loaded, session: the model and what runs it.
        generation: text and tokens.
        verified: its tokens compared with torch's.
    """

    loaded: "Loaded"
    session: "Session"
    generation: "Generation"
    verified: "Verification | None"

    @cached_property
    def simulated(self) -> dict[str, Any]:
        """What the gateware's runs were, if it ran any."""
        from alula.runtime.gateware_device import GatewareDevice
        from alula.runtime.runs import rtl_report

        if not self.loaded.runs or self.session.info.device != GatewareDevice.name:
            return {}
        return rtl_report(self.loaded.runs, self.loaded.design)

    @cached_property
    def predicted(self) -> "Prediction | None":
        """What the hardware would do."""
        from alula.runtime.prediction import predicted_of

        return predicted_of(self.loaded.design, self.loaded.runs)

    def print_json(self) -> None:
        """Print all of it as JSON."""
        from alula.runtime.prediction import predicted_cycles

        result, info = self.generation, self.session.info
        print_json(
            {
                "text": result.text,
                "prompt_ids": result.prompt_ids,
                "token_ids": result.token_ids,
                "finish": result.finish,
                "device": info.device,
                "map": info.map,
                "design_hash": info.design_hash,
                "program_bytes": info.program_bytes,
                "prefill_s": result.prefill_s,
                "decode_tokens_per_s": result.decode_tokens_per_s,
                "predicted": self.predicted.as_dict() if self.predicted else None,
                "predicted_cycles": predicted_cycles(self.loaded.design, self.loaded.runs),
                **({"matches_model": True, **self.simulated} if self.simulated else {}),
                **({"verified": asdict(self.verified)} if self.verified else {}),
                **({"checked": asdict(result.checked)} if result.checked else {}),
            }
        )

    def print_rest(self) -> None:
        """Print what a person reads after the streamed text."""
        result, verified = self.generation, self.verified
        if not self.session.tokenizer:
            print(*result.token_ids)
        elif not verified:
            print()
        if verified:
            print(
                f"verified: of {verified.tokens} tokens torch gives {verified.equal} in exact "
                f"integers, {verified.float_agreement} in fp32 on the unquantised weights "
                f"(reference: {verified.reference}){self._units()}"
            )
        if sys.stderr.isatty():
            speed = result.decode_tokens_per_s
            decode = f", decode {speed:.1f} tokens/s" if speed else ""
            print(f"prefill {result.prefill_s:.2f} s{decode} (wall clock)", file=sys.stderr)
            if bound := self.predicted:
                name = self.loaded.design.name
                print(f"{name}: {bound.line()} ({bound.source})", file=sys.stderr)
        if found := self.simulated:
            rate = f"{found['tokens_per_s']:,.1f} tokens/s at {found['clock_mhz']:.0f} MHz"
            print(
                f"rtl: {found['rtl_cycles']:,} cycles, {found['cycles_per_token']:,.0f} a token, "
                f"{rate} ({found['clock']}), {found['sim_cycles_per_s']:,.0f} simulated a second; "
                f"all of memory is the machine model's"
            )

    def _units(self) -> str:
        """Return what was compared of units while they ran."""
        found = self.generation.checked
        if found is None:
            return ""
        rest = f", the others within {found.largest_error:.2g}" if found.exact < found.units else ""
        return f"; {found.exact:,} of {found.units:,} outputs of units exact{rest}"
