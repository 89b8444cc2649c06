"""Models on devices: `load` gives a session, a session answers.

from alula.runtime import load

llm = load("smollm2-135m", design="kv260", map="layers.0-9=torch,*=accel")
print(llm.generate("What is the capital of France?", max_new_tokens=12).text)
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
)
from alula.runtime.loading import load
from alula.runtime.runs import Run, rtl_report
from alula.runtime.sampling import Sampler
from alula.runtime.session import Generation, Session
from alula.runtime.split import Segment, Split, Target, parse_split

__all__ = [
    "Device",
    "DeviceError",
    "Generation",
    "MismatchError",
    "ModelError",
    "Opener",
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
    "device_names",
    "load",
    "open_device",
    "parse_split",
    "rtl_report",
]
