"""Models on devices: `load` gives a session, a session answers.

from alula.runtime import load

llm = load("smollm2-135m", design="kv260", map="layers.0-9=torch,*=accel")
print(llm.generate("What is the capital of France?", max_new_tokens=12).text)

`plan` finds a map: what runs where, and why.
"""

from alula.runtime.device import Device, Opener, device_names, open_device
from alula.runtime.errors import (
    DeviceError,
    MismatchError,
    ModelError,
    PromptError,
    RunError,
    SplitError,
    TokenizerError,
    UnitError,
)
from alula.runtime.loading import load
from alula.runtime.planning.devices import Devices, load_devices
from alula.runtime.planning.errors import PlanError
from alula.runtime.planning.machine import devices
from alula.runtime.planning.plan import Plan
from alula.runtime.planning.plan_file import load_plan
from alula.runtime.planning.planner import plan
from alula.runtime.runs import Run, rtl_report
from alula.runtime.sampling import Sampler
from alula.runtime.session import Generation, Session
from alula.runtime.split import Segment, Split, Target, parse_split

__all__ = [
    "Device",
    "DeviceError",
    "Devices",
    "Generation",
    "MismatchError",
    "ModelError",
    "Opener",
    "Plan",
    "PlanError",
    "PromptError",
    "Run",
    "RunError",
    "Sampler",
    "Segment",
    "Session",
    "Split",
    "SplitError",
    "Target",
    "TokenizerError",
    "UnitError",
    "device_names",
    "devices",
    "load",
    "load_devices",
    "load_plan",
    "open_device",
    "parse_split",
    "plan",
    "rtl_report",
]
