"""Every sync on the way of a message: where it stands in the source, what it is for, and which workload misses it.

A purpose is missed in a workload when the states that its recording leads to without these syncs break a promise.
What no workload misses is in NOT_MISSED; docs/queue.md says for each of these why it stays.
"""

from __future__ import annotations

import ast
from pathlib import Path

from crash.disk import Disk
from crash.happenings import Event, Synced, SyncedAll, SyncedDirectory
from crash.models import Name, Size

# The calls in src/qmail: (module, function) to the purposes of what is synced there.
SITES = {
    ("stores/arrival.py", "Arrival.sync"): {"accept: message", "accept: envelope"},
    ("stores/door.py", "Door._barrier_a"): {"accept: everything"},
    ("stores/door.py", "Door._one_by_one"): {"accept: name in mess"},
    ("stores/door.py", "Door._barrier_b"): {"accept: name in todo"},
    ("stores/whole.py", "Whole.sync"): {"accept: everything", "preprocess: everything", "finish: everything"},
    ("stores/incoming.py", "Incoming.sync"): {
        "first attempt: name in todo", "preprocess: name in todo", "start: name in todo", "leftovers: name in todo",
    },
    ("stores/deliverystate.py", "DeliveryState._write"): {
        "preprocess: bounce", "preprocess: local", "preprocess: remote", "preprocess: info",
    },
    ("stores/deliverystate.py", "DeliveryState.sync_marks"): {"marks"},
    ("stores/deliverystate.py", "DeliveryState.record_failures"): {"bounce: bounce", "bounce: name in bounce"},
    ("stores/deliverystate.py", "DeliveryState.sync_names"): {
        "preprocess: everything", "finish: everything",
        *(f"{stage}: name in {kind}" for stage in ("preprocess", "finish") for kind in
          ("info", "local", "remote", "bounce")),
    },
    ("stores/deliverystate.py", "DeliveryState.sync_everything"): {
        f"start: name in {kind}" for kind in ("info", "local", "remote", "bounce")
    },
    ("stores/leftovers.py", "Leftovers._spoken_for"): {"leftovers: name in info", "leftovers: name in todo"},
    ("stores/clearing.py", "Clearing._sync"): {"first attempt: name in todo", "preprocess: name in todo"},
    ("stores/sendloop.py", "Sender.__init__"): {"start: name in todo"},
    ("stores/maildir.py", "deliver"): {"Maildir: name in new"},
    ("stores/maildir.py", "_sync_files"): {"Maildir: message", "Maildir: everything"},
    ("stores/mboxfile.py", "_append_all"): {"mbox: message", "mbox: name", "mbox: cut back"},
}  # fmt: skip
# Where the way of a message begins: what these import is on it.
PROGRAMS = (
    "programs/queue/qmail_queue.py", "programs/queue/qmail_queued.py", "programs/queue/qmail_send.py",
    "programs/queue/qmail_clean.py", "programs/deliver/qmail_local.py", "programs/deliver/qmail_lspawn.py",
    "programs/deliver/qmail_rspawn.py", "programs/deliver/qmail_remote.py", "services/local_worker.py",
    "services/remote_worker.py",
)  # fmt: skip
ELSEWHERE = {"host/durable.py"}  # the calls themselves
CALLS = {"sync", "sync_data", "sync_directory", "fsync", "fdatasync", "_syncfs"}

NAMES = ("info", "local", "remote", "bounce")
MISSED_IN = {
    "accept: message": "one_by_one",
    "accept: envelope": "one_by_one",
    "accept: name in mess": "one_by_one",
    "accept: name in todo": "one_by_one",
    "accept: everything": "batch",
    "first attempt: name in todo": "raced",
    "preprocess: everything": "finished",
    **{f"preprocess: {kind}": "apart" for kind in NAMES},
    **{f"preprocess: name in {kind}": "apart" for kind in NAMES},
    "preprocess: name in todo": "renumbered",
    "bounce: bounce": "apart",
    "bounce: name in bounce": "apart",
    "finish: everything": "finished",
    **{f"finish: name in {kind}": "apart" for kind in NAMES},
    "start: name in todo": "killed",
    **{f"start: name in {kind}": "killed_ending" for kind in NAMES if kind != "info"},
    "Maildir: message": "maildir",
    "Maildir: name in new": "maildir",
    "Maildir: everything": "maildir",
    "mbox: message": "new_box",
    "mbox: name": "new_box",
}
NOT_MISSED = {"marks", "start: name in info", "leftovers: name in info", "leftovers: name in todo", "mbox: cut back"}


def sites(source: Path) -> set[tuple[str, str]]:
    """Where something is synced in the modules that the programs on the way of a message are made of."""
    modules: set[str] = set()
    waiting = list(PROGRAMS)
    while waiting:
        if (module := waiting.pop()) not in modules:
            modules.add(module)
            waiting += _imported(source, module)
    found = set()
    for module in modules - ELSEWHERE:
        for name, function in _functions(ast.parse((source / module).read_text())):
            if any(isinstance(node, ast.Call) and _called(node.func) in CALLS for node in ast.walk(function)):
                found.add((module, name))
    return found


def _imported(source: Path, module: str) -> list[str]:
    """The modules of ours that this one imports."""
    places = []
    for node in ast.walk(ast.parse((source / module).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qmail"):
            place = str(node.module).removeprefix("qmail").removeprefix(".").replace(".", "/")
            places += [place, *(f"{place}/{alias.name}" for alias in node.names)]
    return [f"{place}.py" for place in places if (source / f"{place}.py").is_file()]


def _functions(tree: ast.Module) -> list[tuple[str, ast.FunctionDef]]:
    found = [(node.name, node) for node in tree.body if isinstance(node, ast.FunctionDef)]
    for place in tree.body:
        if isinstance(place, ast.ClassDef):
            found += [(f"{place.name}.{node.name}", node) for node in place.body if isinstance(node, ast.FunctionDef)]
    return found


def _called(function: ast.expr) -> str:
    while isinstance(function, ast.Subscript):
        function = function.value
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


class Purposes:
    """Tells what the syncs of a recording are for, one after the other."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, bytes]] = set()

    def of(self, event: Event, disk: Disk) -> str | None:
        """What this is for, at the moment before it is done; None where it is no sync."""
        match event:
            case Synced(_, path, by, data):
                kind = _kind(disk, path)
                if by == b"qmail-queued":
                    envelope = kind in ("intd", "spare")
                    return f"accept: {'envelope' if envelope else 'message'}"
                if kind:
                    return "marks" if data else f"{_stage(disk, path)}: {kind}"
                cut = any(isinstance(one, Size) and one.inode == disk.inode(path) for one in disk.pending)
                return f"mbox: {'cut back' if cut else 'message'}" if b"/Mailbox" in path else "Maildir: message"
            case SyncedAll(_, by):
                if by not in (b"qmail-queued", b"qmail-send"):
                    return "Maildir: everything"
                added = any(isinstance(one, Name) and one.child and not disk.disks[one.inode] for one in disk.pending)
                return f"{'accept' if by == b'qmail-queued' else 'preprocess' if added else 'finish'}: everything"
            case SyncedDirectory(path, by, pid):
                return self._of_names(disk, path, by, pid)
        return None

    def _of_names(self, disk: Disk, path: bytes, by: bytes, pid: int) -> str:
        kind = _kind(disk, path + b"/")
        if not kind:
            return "Maildir: name in new" if path.endswith(b"/new") else "mbox: name"
        if by == b"qmail-queued":
            return f"accept: name in {kind}"
        first = (pid, path) not in self._seen
        self._seen.add((pid, path))
        inode = disk.inode(path)
        changed = [one for one in disk.pending if isinstance(one, Name) and one.inode == inode]
        if first and by == b"qmail-send":
            stage = "start"  # qmail-send begins with all of its directories
        elif not changed:
            stage = "bounce" if kind == "bounce" else "leftovers"
        elif kind == "todo":
            prepared = any(one.name in disk.live_names(_info(one.name)) for one in changed if one.child is None)
            stage = "preprocess" if prepared else "first attempt"
        elif any(one.child for one in changed):
            fresh = disk.live_names(b"home/queue/todo")
            stage = "preprocess" if any(one.name in fresh for one in changed) else "bounce"
        else:
            stage = "finish"
        return f"{stage}: name in {kind}"


def _kind(disk: Disk, path: bytes) -> str:
    place = path.removeprefix(disk.top + b"/home/queue/")
    return place.split(b"/")[0].decode() if place != path else ""


def _stage(disk: Disk, path: bytes) -> str:
    """Of a file of qmail-send: one of a preprocessing, or a bounce that is appended to later."""
    return "preprocess" if path.rpartition(b"/")[2] in disk.live_names(b"home/queue/todo") else "bounce"


def _info(number: bytes) -> bytes:
    return b"home/queue/info/%d" % (int(number) % 23)
