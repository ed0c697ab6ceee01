"""What real programs did to the disk: their system calls, recorded by strace, as a list of events.

Only what happens below the watched directory is kept, and what is sent to other processes, since an
acknowledgement is something sent. Calls of several processes stand in the order in which they ended;
a sending stands where it began, because whoever is told may act on it at once.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from crash.happenings import (
    Event,
    Linked,
    MadeDirectory,
    Moved,
    Opened,
    Removed,
    Renamed,
    Resized,
    Sent,
    Synced,
    SyncedAll,
    SyncedDirectory,
    Wrote,
)

CALLS = (
    "openat,creat,open,close,dup,dup2,dup3,fcntl,clone,clone3,fork,vfork,write,writev,pwrite64,pwritev,ftruncate,"
    "lseek,truncate,link,linkat,symlink,symlinkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,"
    "fdatasync,syncfs,sendto,sendmsg,execve"
)


def strace(output: Path, struck: str = "") -> list[str]:
    """The words in front of a command that is to be recorded, with all its children; `struck` is a call that fails."""
    words = ["strace", "-f", "-Y", "-qq", "-o", str(output), "-xx", "-y", "-s", "1000000", "-e", f"trace={CALLS}"]
    return [*words, "-e", f"inject={struck}"] if struck else words


_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = r"(-?\d+|AT_FDCWD)(?:<([^>]*)>)?(?:\(deleted\))?"
_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<([^>]*)>)?(?:\(deleted\))?", re.DOTALL)
_FIRST_FD = re.compile(_FD)
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$", re.DOTALL)
_SENDING = {"write", "writev", "sendto", "sendmsg"}


def on_small_disk(image: Path, place: Path, *prepare: str) -> list[str]:
    """The words in front of a command that is to find a small file system at `place`.

    It has a journal, and gives inode numbers out again at once. The command `prepare` fills it first.
    Nobody else sees it, and it goes with the last process that does.
    """
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", image, "16m"], check=True, stdout=subprocess.DEVNULL)
    script = f'mount -o loop {image} {place} && chmod 755 {place} && {shlex.join(prepare)} && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, "sh"]


def on_two_disks(directory: Path) -> list[str]:
    """The words in front of a command that is to find this directory on a file system of its own, and empty."""
    mode, owner = directory.stat().st_mode & 0o777, directory.stat()
    options = f"mode={mode:o},uid={owner.st_uid},gid={owner.st_gid}"
    return ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o {options} none {directory} && exec "$@"', "sh"]


def events(output: Path, *watched: Path) -> list[Event]:
    """Read a recording: what was done below the watched directories."""
    return list(_Reader([os.fsencode(path) for path in watched]).read(output))


class _Reader:
    def __init__(self, tops: list[bytes]) -> None:
        self.tops = tops
        self.files: dict[tuple[int, int], int] = {}  # (pid, descriptor) to our number of an open file
        self.paths: dict[int, bytes] = {}  # that number to the name it was opened by
        self.by = b""  # the program of the line that is read
        self.private: set[tuple[int, int]] = set()  # those that exec closes
        self.count = 0

    def read(self, output: Path) -> Iterator[Event]:
        begun: dict[int, str] = {}
        told: set[int] = set()
        for line in output.read_text().splitlines():
            number, _, text = line.partition(" ")
            number, _, program = number.partition("<")
            pid, text, self.by = int(number), text.strip(), _hex(program.rstrip(">"))
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
                if begun[pid].partition("(")[0] in _SENDING and not self.below(_annotated(begun[pid])):
                    told.add(pid)
                    yield Sent(pid, _bytes(begun[pid]))
                continue
            if resumed := _RESUMED.match(text):
                text = begun.pop(pid, "") + resumed[1]
            call = _CALL.match(text)
            if call is None or call[3] in ("-1", "?"):
                told.discard(pid)
                continue
            if pid in told:
                told.discard(pid)
                continue
            yield from self.event(pid, call[1], call[2], int(call[3]), call[4])

    def below(self, path: bytes) -> bool:
        return any(path == top or path.startswith(top + b"/") for top in self.tops)

    def event(self, pid: int, name: str, words: str, result: int, annotation: str | None) -> Iterator[Event]:
        if name in ("clone", "clone3", "fork", "vfork"):
            for (owner, descriptor), file in list(self.files.items()):
                if owner == pid:
                    self.files[result, descriptor] = file
                    if (owner, descriptor) in self.private:
                        self.private.add((result, descriptor))
        elif name == "execve":
            for key in [key for key in self.private if key[0] == pid]:
                self.private.discard(key)
                self.files.pop(key, None)
        elif name in ("openat", "open", "creat"):
            yield from self.opened(pid, words, result, _hex(annotation or ""))
        elif name in ("dup", "dup2", "dup3") or (name == "fcntl" and "F_DUPFD" in words):
            source = _FIRST_FD.match(words)
            assert source
            self.files.pop((pid, result), None)
            self.private.discard((pid, result))
            if (pid, int(source[1])) in self.files:
                self.files[pid, result] = self.files[pid, int(source[1])]
                if "CLOEXEC" in words:
                    self.private.add((pid, result))
        elif name == "lseek":
            if (pid, _descriptor(words)) in self.files:
                yield Moved(self.files[pid, _descriptor(words)], result)
        elif name == "close":
            self.files.pop((pid, _descriptor(words)), None)
            self.private.discard((pid, _descriptor(words)))
        elif name in ("write", "writev", "pwrite64", "pwritev", "sendto", "sendmsg"):
            yield from self.wrote(pid, name, words, result)
        elif name in ("fsync", "fdatasync", "syncfs", "ftruncate"):
            yield from self.synced(pid, name, words)
        else:
            yield from self.named(name, words)

    def opened(self, pid: int, words: str, descriptor: int, path: bytes) -> Iterator[Event]:
        self.files.pop((pid, descriptor), None)
        self.private.discard((pid, descriptor))
        if not self.below(path) or ("O_WRONLY" not in words and "O_RDWR" not in words):
            return
        flags = words.rsplit('"', 1)[1]
        created = "O_CREAT" in flags
        self.count += 1
        self.files[pid, descriptor] = self.count
        self.paths[self.count] = path
        if "O_CLOEXEC" in flags:
            self.private.add((pid, descriptor))
        yield Opened(path, self.count, created, "O_TRUNC" in flags, "O_APPEND" in flags)

    def wrote(self, pid: int, name: str, words: str, result: int) -> Iterator[Event]:
        path = _annotated(words)
        data = _bytes(words)
        if not self.below(path):
            yield Sent(pid, data)
            return
        file = self.files.get((pid, _descriptor(words)))
        if file is None:
            return  # a fifo or a socket below the directory
        offset = int(words.rpartition(",")[2]) if name.startswith("pw") else None
        yield Wrote(file, data[:result], offset)

    def synced(self, pid: int, name: str, words: str) -> Iterator[Event]:
        path = _annotated(words)
        if name == "syncfs":
            # A file may have lost the name that it was opened by: what counts is where it is.
            is_file = (pid, _descriptor(words)) in self.files
            yield SyncedAll(path.rpartition(b"/")[0] if is_file else path, self.by)
        elif self.below(path):
            file = self.files.get((pid, _descriptor(words)))
            if name == "ftruncate":
                if file is not None:
                    yield Resized(file, int(words.rpartition(",")[2]))
            elif file is not None:
                yield Synced(file, self.paths[file], self.by, name == "fdatasync")
            else:
                yield SyncedDirectory(path, self.by, pid)

    def named(self, name: str, words: str) -> Iterator[Event]:
        paths = _paths(words)
        if not paths or not any(self.below(path) for path in paths):
            return
        if name in ("link", "linkat"):
            yield Linked(paths[0], paths[1])
        elif name in ("rename", "renameat", "renameat2"):
            yield Renamed(paths[0], paths[1])
        elif name in ("unlink", "unlinkat", "rmdir"):
            yield Removed(paths[0])
        elif name in ("mkdir", "mkdirat"):
            yield MadeDirectory(paths[0])
        else:
            raise AssertionError(f"{name} is not in the model: {words}")


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _descriptor(words: str) -> int:
    match = re.match(r"-?\d+", words)
    assert match
    return int(match[0])


def _annotated(text: str) -> bytes:
    """The path that strace wrote behind the first descriptor."""
    match = re.search(r"\d<([^>]*)>", text)
    return _hex(match[1]) if match and re.fullmatch(r"(\\x[0-9a-f]{2})*", match[1]) else b""


def _bytes(words: str) -> bytes:
    """All strings of a call, one after the other: the bytes of a write or of a vector of them."""
    assert '"...' not in words, "strace cut a string"
    return b"".join(_hex(text) for text in _STRING.findall(words))


def _paths(words: str) -> list[bytes]:
    """The paths of a call, each absolute."""
    found = []
    for directory, text in re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:\\x[0-9a-f]{2})*)"', words):
        path = _hex(text)
        found.append(os.path.normpath(os.path.join(_hex(directory), path)) if directory else path)
    return found


def check_available() -> None:
    """The recorder is a Debian package; where it is missing this is no proof."""
    assert subprocess.run(["strace", "-V"], capture_output=True).returncode == 0, "apt-get install strace"
