"""A Debian package of this tree: `deb.py DIRECTORY`. Prints its path. Needs dpkg-deb, and no network.

It holds what does not change: programs and library below /var/qmail, manual pages, units of systemd, and
sendmail's names. The home's own directories, the users and the queue are made when it is configured
(debian/postinst), and survive its removal as long as there is mail in them.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
HOME = "var/qmail"
INTERPRETER = "/usr/bin/python3"

sys.path.insert(0, str(TOP / "src"))


def main(directory: Path) -> int:
    """Build it."""
    from qmail import __version__

    os.umask(0o022)
    tree = directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    fill(tree, sysconfig.get_path("purelib"))
    package = directory / f"pyqmail_{__version__}_all.deb"
    words = {"VERSION": __version__, "SIZE": str(sum(path.lstat().st_size for path in tree.rglob("*")) // 1024)}
    describe(tree / "DEBIAN", words)
    for path in [tree, *tree.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    print(package)
    return 0


def fill(tree: Path, site: str) -> None:
    """Everything that is installed. `site`: where the DNS library is."""
    import manpages
    from qmail.formats import bootscript
    from qmail.services.catalogue import programs
    from qmail.stores.library import Source, install, launchers
    from texts import DOCUMENTS

    home = tree / HOME
    install(os.fsencode(home), Source(str(TOP / "src"), site, INTERPRETER), compiled=False)
    for compiled in list(home.rglob("__pycache__")):
        shutil.rmtree(compiled)  # of this interpreter; that of the machine compiles them anew
    launchers(os.fsencode(home / "bin"), programs(), Source(f"/{HOME}/lib", f"/{HOME}/lib", INTERPRETER))
    texts: dict[Path, bytes] = {
        home / "boot" / os.fsdecode(name): text for name, text in bootscript.scripts(f"/{HOME}".encode())
    }
    texts |= {home / "man" / place: page for place, page in manpages.pages().items()}
    texts |= {home / "doc" / name: path.read_bytes() for name, path in DOCUMENTS.items()}
    for unit in (TOP / "setup/systemd").iterdir():
        texts[tree / "usr/lib/systemd/system" / unit.name] = unit.read_bytes()
    texts[tree / "usr/share/pyqmail/users.sh"] = (TOP / "setup/users.sh").read_bytes()
    texts[tree / "usr/share/doc/pyqmail/copyright"] = (TOP / "LICENSE").read_bytes()
    for path, text in texts.items():
        write(path, text, 0o755 if path.parent.name == "boot" else 0o644)
    for place, page in manpages.pages().items():
        write(tree / "usr/share/man" / f"{place}.gz", gzip.compress(page, mtime=0), 0o644)
    for name in ("usr/sbin/sendmail", "usr/lib/sendmail", "usr/bin/mailq", "usr/bin/newaliases"):
        link = tree / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(f"/{HOME}/bin/{link.name}")


def describe(place: Path, words: dict[str, str]) -> None:
    """What dpkg reads: control, with @WORDS@ replaced, and the scripts."""
    for path in (TOP / "setup/debian").iterdir():
        text = path.read_text()
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        write(place / path.name, text.encode(), 0o644 if path.name == "control" else 0o755)


def write(path: Path, text: bytes, mode: int) -> None:
    """One file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    path.chmod(mode)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
