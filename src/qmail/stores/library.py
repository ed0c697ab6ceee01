"""The programs of a home: a copy of the library in lib/, and a launcher for each program in bin/.

The library is copied, so that every qmail user can read it wherever its source stands. A launcher is a
script of a few lines: the interpreter, isolated from the user's environment and without site-packages,
finds the library and runs one `main`.
"""

from __future__ import annotations

import os
import shutil

from qmail.host import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PARTS = ("qmail", "dns", "idna")  # what lib/ holds: ours, the DNS library, and the one for names beyond ASCII
# What it may hold too, made for one kind of machine: argon2-cffi.
COMPILED = ("argon2", "_argon2_cffi_bindings", "_cffi_backend")
MARK = b"\n# pyqmail "
LONGEST = 4096  # bytes of a launcher

TEMPLATE = """#!{interpreter} -IS
# pyqmail {name}
import sys
sys.path.insert(0, {lib!r})
sys.path.append({site!r})
from {module} import main
from qmail.host.program import run
run(main)
"""


class Source:
    """What is installed: the directories that hold qmail/ and the others, and the interpreter that runs them."""

    __slots__ = ("interpreter", "lib", "site")

    def __init__(self, lib: str, site: str, interpreter: str) -> None:
        self.lib, self.site, self.interpreter = lib, site, interpreter

    def folder(self, part: str) -> str:
        """Where a part of the library stands."""
        return os.path.join(self.lib if part == "qmail" else self.site, part)


def running() -> Source:
    """The library that runs now."""
    import sys

    import qmail

    lib = os.path.dirname(os.path.dirname(os.path.abspath(qmail.__file__)))
    site = next((place for place in sys.path if os.path.isdir(os.path.join(place, "dns"))), lib)
    return Source(lib, site, os.path.realpath(sys.executable))


def install(home: bytes, source: Source, *, compiled: bool = True) -> None:
    """Put the library into lib/ of a home, in place of what is there. `compiled`: with what fits this machine alone.

    Raises OSError.
    """
    lib = os.fsdecode(home) + "/lib"
    new = lib + "/.new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new, 0o755)
    for part in (*PARTS, *(_compiled(source.site) if compiled else ())):
        if os.path.isdir(source.folder(part)):
            shutil.copytree(source.folder(part), f"{new}/{part}", copy_function=_copy)
        elif os.path.exists(source.folder(part)):
            _copy(source.folder(part), f"{new}/{part}")
    for directory, _, _ in os.walk(new):
        os.chmod(directory, 0o755)
    _compile(new)
    for part in os.listdir(new):
        _put(os.fsencode(f"{new}/{part}"), os.fsencode(f"{lib}/{part}"))
    shutil.rmtree(new)


def uninstall(home: bytes) -> None:
    """Take the library away, and leave lib/ itself."""
    lib = os.fsdecode(home) + "/lib"
    for part in (*PARTS, *_compiled(lib), ".new"):
        shutil.rmtree(f"{lib}/{part}", ignore_errors=True)
        if os.path.exists(f"{lib}/{part}"):
            durable.remove(os.fsencode(f"{lib}/{part}"))


def _compiled(site: str) -> list[str]:
    # What is there of it; `_cffi_backend` is one file, NAME.MACHINE.so.
    names = os.listdir(site) if os.path.isdir(site) else []
    return sorted(name for name in names if name.partition(".")[0] in COMPILED)


def launchers(directory: bytes, programs: Mapping[str, str], source: Source) -> int:
    """Write a launcher for every program (name to module); each appears whole or not at all. Returns how many."""
    place = os.fsdecode(directory)
    os.makedirs(place, exist_ok=True)
    for name, module in programs.items():
        text = TEMPLATE.format(
            interpreter=source.interpreter, name=name, lib=source.lib, site=source.site, module=module
        )
        path, temporary = f"{place}/{name}", f"{place}/.{name}.new"
        if not os.path.islink(path) and os.path.exists(path) and os.stat(path).st_mode & 0o111:
            with open(path, "rb") as file:
                if file.read(LONGEST) == text.encode():
                    continue
        with open(temporary, "w") as file:
            file.write(text)
        os.chmod(temporary, 0o755)
        durable.rename(os.fsencode(temporary), os.fsencode(path))
    return len(programs)


def module_of(path: bytes) -> str | None:
    """The module that the launcher at `path` runs; None where it is no launcher of ours."""
    try:
        with open(path, "rb", buffering=0) as file:
            text = file.read(LONGEST)
    except OSError:
        return None
    if not text.startswith(b"#!") or MARK not in text:
        return None
    line = next((line for line in text.split(b"\n") if line.startswith(b"from ") and line.endswith(b" main")), b"")
    return line.split(b" ")[1].decode() if line else None


def programs_beside(argv0: bytes) -> dict[str, str]:
    """Name to module of all programs in the directory that the program started as `argv0` stands in."""
    directory = os.path.dirname(os.path.realpath(argv0))
    found = {}
    for name in sorted(os.listdir(directory)):
        module = module_of(directory + b"/" + name)
        if module is not None and not name.startswith(b"."):
            found[os.fsdecode(name)] = module
    return found


def _copy(source: str, target: str) -> None:
    # With its time, by which the interpreter knows compiled files to be fresh; readable for every qmail user.
    shutil.copyfile(source, target)
    shutil.copystat(source, target)
    os.chmod(target, 0o644)


def _compile(directory: str) -> None:
    import compileall

    compileall.compile_dir(directory, quiet=2)


def _put(new: bytes, place: bytes) -> None:
    """Move a directory or file to its place; what stood there is removed."""
    if not os.path.lexists(place) or not os.path.isdir(place):
        durable.rename(new, place)
        return
    try:
        durable.exchange(new, place)
    except OSError:
        old = new + b".old"
        durable.rename(place, old)
        durable.rename(new, place)
        new = old
    shutil.rmtree(new)
