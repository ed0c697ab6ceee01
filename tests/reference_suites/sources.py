"""Files out of the distribution's source packages, from wherever this machine gets its programs."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path


class Unobtainable(Exception):
    """Why the source packages are not to be had here."""


def fetch(place: Path, wanted: dict[str, str]) -> dict[str, Path]:
    """One file of each original archive: package to path in it, package to its copy in `place`."""
    for directory in ("parts", "lists/partial", "cache/archives/partial"):
        (place / directory).mkdir(parents=True)
    _describe(place / "parts")
    _apt(place, "update")
    _apt(place, "source", "--download-only", *wanted)
    copies = {}
    for package, member in wanted.items():
        found = list(place.glob(f"{package}_*.orig.tar.*"))
        if len(found) != 1:
            raise Unobtainable(f"apt-get source brought {len(found)} archives of {package}")
        with tarfile.open(found[0]) as archive:
            file = archive.extractfile(member)
            assert file is not None
            copies[package] = place / f"{package}.tests"
            copies[package].write_bytes(file.read())
    return copies


def _describe(parts: Path) -> None:
    """Write the machine's own lines for this release once more, for sources instead of programs."""
    release = _release()
    lines, paragraphs = [], []
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        text = path.read_text(errors="replace") if path.is_file() else ""
        if path.suffix == ".list":
            lines += [line for line in text.splitlines() if line.startswith("deb ") and release in line.split()]
        elif path.suffix == ".sources":
            plain = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
            paragraphs += [each for each in plain.split("\n\n") if release in each.split()]
    (parts / "of.list").write_text("".join("deb-src" + line[3:] + "\n" for line in lines))
    (parts / "of.sources").write_text(
        "\n\n".join(each.replace("Types: deb", "Types: deb-src", 1) for each in paragraphs)
    )
    if not lines and not paragraphs:
        raise Unobtainable(f"apt has no line for {release or 'this release'}")


def _release() -> str:
    """The code name of this release, as the distribution's lines have it."""
    try:
        named = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    except OSError:
        return ""
    return named.get("VERSION_CODENAME", "").strip('"')


def _apt(place: Path, *words: str) -> None:
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": place / "parts",
        "Dir::State::lists": place / "lists",
        "Dir::Cache": place / "cache",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 10,
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    try:
        done = subprocess.run(
            ["apt-get", "-q", *options, *words], cwd=place, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unobtainable(f"apt-get {words[0]}: {error}") from None
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip().splitlines()
        raise Unobtainable(f"apt-get {words[0]}: {said[-1] if said else done.returncode}")
