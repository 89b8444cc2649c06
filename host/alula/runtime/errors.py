"""What the runtime says when it is asked for something that cannot be."""

from collections.abc import Mapping


class RunError(ValueError):
    """A request that cannot be met. The message is one line, "must be X, not Y (place)"."""


class SplitError(RunError):
    """A map of units to devices that is malformed, ambiguous or incomplete."""


class PromptError(RunError):
    """A prompt that cannot be run: empty, too long, or with ids outside the vocabulary."""


class TokenizerError(RunError):
    """A model's tokenizer or chat template that is missing or cannot be used."""


class ModelError(RunError):
    """A known model that could not be fetched or is not what it should be."""


class DeviceError(RunError):
    """A device that does not exist or refused its work."""


class UnitError(RunError):
    """A unit left something else than torch does.

    Attributes:
        exit_code: of a command that meets it.
    """

    exit_code = 1


class OutOfStepError(RunError):
    """In lock step, a device retired something else than the machine model. Says what, in lines.

    Attributes:
        divergence: what there is to say, by its heading.
        exit_code: of a command that meets it.
    """

    exit_code = 1

    def __init__(self, message: str, divergence: Mapping[str, str]) -> None:
        self.divergence = divergence
        super().__init__(message)

    @property
    def lines(self) -> list[str]:
        """The text in lines."""
        return str(self).split("\n")


class MismatchError(RunError):
    """A device left another memory than the machine model: the gateware is wrong, or the model.

    Attributes:
        beat, byte: the first difference, and its place in the beat.
        region: name of the region that holds it.
        exit_code: of a command that meets it.
    """

    exit_code = 1

    def __init__(self, message: str, beat: int, byte: int, region: str) -> None:
        self.beat, self.byte, self.region = beat, byte, region
        super().__init__(message)
