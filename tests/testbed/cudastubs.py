"""Tiny libraries in the place of CUDA's, with which PyPI's torch is imported where there is no GPU.

PyPI has torch as built for CUDA only: its libraries name symbols of 13 nvidia packages, 1.7 GB that nothing here would
use. A stub defines the symbols that torch wants of one of them, with their versions, as functions that answer "no
device" (100, cudaErrorNoDevice); `torch.cuda.is_available()` is then False, as on a machine without a driver.
"""

import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_CUDA: Final = re.compile(
    r"lib(cudart|cupti|nvrtc|cublas|cublasLt|cudnn|cusparse|cusparseLt|cufft|cufile|curand|cusolver|nccl"
    r"|nvshmem_host|nvJitLink|nvToolsExt)\.so"
)
_UNVERSIONED: Final = {
    "nccl": "nccl",
    "curand": "curand",
    "cusparseLt": "cusparseLt",
    "cufile": "cuFile",
    "nvshmem_host": "nvshmem",
    "cusolver": "cusolver",
}
"""Libraries without symbol versions, and how their symbols begin: by that they are told apart."""
_ANSWERS_TEXT: Final = re.compile(r"String|ErrorName|StatusName")
_MESSAGE: Final = '.section .rodata\nmessage: .asciz "CUDA is not installed"\n.section .note.GNU-stack,"",@progbits\n'


@dataclass
class Wanted:
    """What a set of libraries asks of CUDA: libraries by name, symbols by version, versions by library."""

    libraries: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)
    versioned: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    plain: set[str] = field(default_factory=set)

    def add(self, library: Path) -> None:
        """Adds what one library asks for."""
        dynamic = re.findall(r"\(NEEDED\).*\[(.+)\]", _readelf("-dW", library))
        self.libraries |= {name for name in dynamic if _CUDA.match(name)}
        owner = ""
        for line in _readelf("-VW", library).splitlines():
            if found := re.search(r"\bFile: (\S+)", line):
                owner = found.group(1)
            elif found := re.search(r"\bName: (\S+) +Flags", line):
                self.versions[found.group(1)] = owner
        for symbol in _undefined(library):
            name, _, version = symbol.partition("@")
            if version:
                self.versioned[version].add(name)
            else:
                self.plain.add(name)

    def of(self, library: str) -> tuple[set[str], dict[str, set[str]]]:
        """The symbols that a library must have: without a version, and by version."""
        found = _CUDA.match(library)
        prefix = _UNVERSIONED.get(found.group(1)) if found else None
        versioned = {v: names for v, names in self.versioned.items() if self.versions.get(v) == library}
        return ({name for name in self.plain if prefix and name.startswith(prefix)}, versioned)


def write(folder: Path) -> None:
    """Writes into `folder`, torch's own of libraries, those that they need and that are not there."""
    wanted = Wanted()
    for library in sorted(folder.glob("*.so*")):
        wanted.add(library)
    for name in sorted(wanted.libraries):
        if not (folder / name).exists():
            _link(folder / name, *wanted.of(name))


def _link(target: Path, plain: Iterable[str], versioned: Mapping[str, Iterable[str]]) -> None:
    names = sorted(set(plain).union(*versioned.values()))
    with tempfile.TemporaryDirectory() as scratch:
        source, versions = Path(scratch, "stub.s"), Path(scratch, "versions")
        source.write_text("\n".join([".text", *_functions(names), _MESSAGE]))
        versions.write_text(
            "".join(f"{v} {{ global: {' '.join(f'{n};' for n in versioned[v])} }};\n" for v in versioned)
        )
        options = [f"-Wl,--version-script={versions}"] if versioned else []
        _run("gcc", "-shared", "-nostdlib", "-o", str(target), str(source), f"-Wl,-soname,{target.name}", *options)


def _functions(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield f".globl {name}\n.type {name},@function\n{name}:"
        yield "lea message(%rip),%rax; ret" if _ANSWERS_TEXT.search(name) else "mov $100,%eax; ret"


def _undefined(library: Path) -> Iterator[str]:
    for line in _readelf("--dyn-syms", library).splitlines():
        # Number, value, size, type, binding, visibility, section, name.
        columns = line.split()
        if len(columns) >= 8 and columns[6] == "UND":
            yield columns[7]


def _readelf(option: str, library: Path) -> str:
    return _run("readelf", "-W", option, str(library))


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
