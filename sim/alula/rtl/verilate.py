"""Verilog modules to a program or a shared library, through Verilator and a C++ compiler.

A build is kept by everything that it depends on: the texts, the options and the tools. Verilator's
runtime is compiled once and linked into all of them.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from alula.kept import kept
from alula.processes import in_threads
from alula.progress import Progress, silent
from alula.rtl.toolchain import Toolchain, command, environment, toolchain

_PREFIX = "Vtop"
_UNITY_BYTES = 300_000
_SPLIT = 20_000
_WIDEST_WAVE = 1024
_COMPRESSION = Path(__file__).parent / "fst"
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_DEFINES = ("VM_COVERAGE=0", "VM_SC=0", "VM_TIMING=0", "VM_TRACE_VCD=0", "VM_TRACE_SAIF=0")
# Of Verilator's lint, what Amaranth's and Yosys' style of Verilog sets off by design.
_ALLOWED = (
    "CASEINCOMPLETE",
    "CASEOVERLAP",
    "CMPCONST",
    "DECLFILENAME",
    "PINCONNECTEMPTY",
    "PROCASSINIT",
    "UNDRIVEN",
    "UNOPTFLAT",
    "UNSIGNED",
    "UNUSEDSIGNAL",
    "VARHIDDEN",
    "WIDTHEXPAND",
    "WIDTHTRUNC",
)


@dataclass(frozen=True)
class BuildOptions:
    """What to make of Verilog modules.

    `sources` are C++ files compiled with the generated code, where ``Vtop.h`` is the model, and
    `texts` such files by name that are written first.
    `shared` makes a library instead of a program. `vpi` gives the signals in `public` (names by
    module) to VPI; those in `visible` can be read from C++ by scope and name. `trace` adds FST
    waves. `optimise` is the compiler's level for the generated code.
    """

    sources: tuple[Path, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    shared: bool = False
    vpi: bool = False
    trace: bool = False
    optimise: str = "-O1"
    public: Mapping[str, Sequence[str]] = field(default_factory=dict)
    visible: Mapping[str, Sequence[str]] = field(default_factory=dict)
    verilator_flags: tuple[str, ...] = ()
    link_flags: tuple[str, ...] = ()

    def key(self, modules: Mapping[str, str], tools: Toolchain) -> str:
        """Return the name of the build: a hash of everything that it depends on."""
        digest = hashlib.sha256(f"{tools.version}\n{_DEFINES}{_ALLOWED}{_SPLIT}".encode())
        settings = (self.shared, self.vpi, self.trace, self.optimise, dict(self.public))
        settings += (dict(self.visible),)
        digest.update(repr((settings, self.verilator_flags, self.link_flags)).encode())
        for path in self.sources:
            digest.update(path.read_bytes())
        digest.update(repr((sorted(self.texts.items()), *self.headers())).encode())
        for name, text in modules.items():
            digest.update(f"\n{name}\n{text}".encode())
        return digest.hexdigest()[:32]

    def headers(self) -> tuple[str, ...]:
        """Return the texts of what Verilator's runtime takes from Alula."""
        if not self.trace:
            return ()
        return tuple(path.read_text(encoding="utf-8") for path in sorted(_COMPRESSION.iterdir()))


def verilate(
    modules: Mapping[str, str],
    top: str,
    options: BuildOptions,
    progress: Progress = silent,
) -> Path:
    """Return the program or library built from Verilog modules; from the cache if it is there.

    Args:
        modules: Verilog text by module name.
        top: which of them is the model.
        options: what to make of them.
        progress: called for each step of a build.

    Raises:
        ToolchainError: a tool is missing or refuses the text. Lint warnings are errors.
        OSError: the cache cannot be written.
    """
    tools = toolchain()
    product = "model.so" if options.shared else "model"

    def make(folder: Path) -> None:
        scratch = folder / "scratch"
        scratch.mkdir()
        _generate(modules, top, options, tools, scratch, progress)
        runtime = _runtime(tools, options, progress)
        objects = _compile(options, tools, scratch, progress)
        progress("link", 0, 1)
        shared = ["-shared"] if options.shared else ["-rdynamic"]
        link = ["-pthread", *options.link_flags]
        command([tools.compiler, *shared, "-o", folder / product, *objects, *runtime, *link])
        progress("link", 1, 1)
        shutil.rmtree(scratch)

    return kept("verilator", options.key({"": top, **modules}, tools), make) / product


def _generate(
    modules: Mapping[str, str],
    top: str,
    options: BuildOptions,
    tools: Toolchain,
    folder: Path,
    progress: Progress,
) -> None:
    progress("verilator", 0, 1)
    texts = []
    for name, text in modules.items():
        path = folder / f"{name}.v"
        path.write_text(text, encoding="utf-8")
        texts.append(path.name)
    control = ["`verilator_config"]
    for access, modules_shown in (("rw", options.public), ("rd", options.visible)):
        for module, names in modules_shown.items():
            control += [f'public_flat_{access} -module "{module}" -var "{name}"' for name in names]
    (folder / "control.vlt").write_text("\n".join(control) + "\n", encoding="utf-8")
    flags = ["--cc", "--prefix", _PREFIX, "--Mdir", "cpp", "--top-module", top, "-Wall"]
    flags += [f"-Wno-{name}" for name in _ALLOWED]
    flags += ["--x-assign", "fast", "--x-initial", "0", "--no-timing"]
    flags += ["--output-split", str(_SPLIT), "--output-split-cfuncs", "2000"]
    flags += ["--vpi"] if options.vpi else []
    flags += ["--trace-fst", "--trace-max-width", str(_WIDEST_WAVE)] if options.trace else []
    flags += options.verilator_flags
    command(
        [tools.verilator, *flags, "control.vlt", *texts], cwd=folder, env=environment(tools.root)
    )
    progress("verilator", 1, 1)


def _compile(
    options: BuildOptions, tools: Toolchain, folder: Path, progress: Progress
) -> list[Path]:
    """Compile the generated C++: small models as one file, large ones in parallel."""
    place = folder / "cpp"
    for name, text in options.texts.items():
        (place / name).write_text(text, encoding="utf-8")
    own = [place / name for name in options.texts if name.endswith(".cpp")]
    own += [path.resolve() for path in options.sources]
    generated = sorted(set(place.glob("*.cpp")) - set(own))
    large = sum(path.stat().st_size for path in generated) >= _UNITY_BYTES
    unity = place / "unity.cpp"
    parts = own if large else generated + own
    unity.write_bytes(b"".join(b'#include "%b"\n' % os.fsencode(path) for path in parts))
    files = [unity, *generated] if large else [unity]
    compiler: list[str | Path] = [tools.compiler, *_compiler_flags(tools, options), "-I", place]
    if large:
        _precompile(compiler, place / f"{_PREFIX}__pch.h", {"-O0", options.optimise}, progress)
    jobs = []
    for index, path in enumerate(files):
        # What runs once need not be fast.
        level = "-O0" if path.stem.endswith("__Slow") else options.optimise
        jobs.append([*compiler, level, "-c", path, "-o", folder / f"{index}.o"])
    _parallel(jobs, "compile", progress)
    return [folder / f"{index}.o" for index in range(len(files))]


def _precompile(
    compiler: list[str | Path], header: Path, levels: set[str], progress: Progress
) -> None:
    """Compile the header of all generated files, which takes longer than most of them.

    Of a folder of precompiled headers g++ takes the one that was made with a file's own flags.
    """
    compiled = header.with_suffix(".h.gch")
    compiled.mkdir()
    jobs = [
        [*compiler, level, "-x", "c++-header", header, "-o", compiled / level] for level in levels
    ]
    _parallel(jobs, "compile the header", progress)


def _runtime(tools: Toolchain, options: BuildOptions, progress: Progress) -> list[Path]:
    """Return the objects of Verilator's own runtime, compiled once for each kind of build."""
    names = list(_RUNTIME)
    names += ["verilated_vpi.cpp"] if options.vpi else []
    names += ["verilated_fst_c.cpp"] if options.trace else []
    flags = _compiler_flags(tools, options)
    parts = tools, names, flags, *options.headers()
    key = hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def make(folder: Path) -> None:
        compiler, include = [tools.compiler, *flags, "-O1", "-c"], tools.root / "include"
        jobs = [[*compiler, include / name, "-o", folder / f"{name}.o"] for name in names]
        _parallel(jobs, "runtime", progress)

    place = kept("verilator-runtime", key, make)
    return [place / f"{name}.o" for name in names]


def _compiler_flags(tools: Toolchain, options: BuildOptions) -> list[str]:
    include = tools.root / "include"
    defines = [*_DEFINES, f"VM_TRACE={options.trace:d}", f"VM_TRACE_FST={options.trace:d}"]
    return [
        "-std=c++17",
        "-fPIC",
        "-w",
        *(f"-D{define}" for define in defines),
        "-I",
        str(include),
        *(("-I", str(_COMPRESSION)) if options.trace else ()),
        "-isystem",
        str(include / "vltstd"),
    ]


def _parallel(jobs: Sequence[Sequence[str | Path]], stage: str, progress: Progress) -> None:
    progress(stage, 0, len(jobs))
    for done, _ in enumerate(in_threads(command, jobs), 1):
        progress(stage, done, len(jobs))
