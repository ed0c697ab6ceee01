"""Everything that is wrong in a queue, each thing with what mends it, in the order in which it can be mended."""

from __future__ import annotations

import os
import stat
from functools import partial

from qmail.formats.queuefile import SPLIT, SPLIT_KINDS
from qmail.host import clock
from qmail.rules.finding import Finding
from qmail.rules.queuestates import ASIDE, REMOVE, RENUMBER, SAYS
from qmail.stores import installation, queuemend, standstill
from qmail.stores.importjournal import Journal
from qmail.stores.installation import Piece
from qmail.stores.queuecheck import Checked
from qmail.stores.readmission import UNBORN, Readmission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from qmail.stores.home import Home

    Step: TypeAlias = tuple[Finding, Callable[[], object]]

BAD = b"queue/bad"
OURS = (BAD, b"queue/spare")  # made when they are needed; C qmail knows neither
SAYS_BACK = b"take back what does not count yet; start the import again for it"
SECOND_LOOK = 0.5  # seconds


def unfinished(home: Home) -> list[Step]:
    """What an import that was ended has left; to be asked for only where none runs. Raises OSError."""
    journal = Journal(home.queue)
    return [
        (Finding(b"message %d is left of an import that was ended" % note.number, SAYS_BACK), partial(_settle, home))
        for note in journal.unfinished()[:1]
    ]


def _settle(home: Home) -> None:
    for _ in Readmission(home, Journal(home.queue)).settle():
        pass


def stages(home: Home) -> list[list[Step]]:
    """What is wrong now. What stands in a later list may be right when an earlier one is done.

    Raises OSError where the queue cannot be read, and Permanent where it is none that is understood.
    """
    frame = list(_frame(home))
    if frame:
        return [frame]
    checked = Checked(home)
    queue = checked.queue
    # What an import has begun is seen to by `unfinished`, and by the import itself.
    begun = {note.number for note in Journal(home.queue).unfinished()}
    files: list[Step] = [
        (Finding(file.what, _dressed(file.uid, file.mode)), partial(queuemend.dress, file))
        for file in checked.undressed
    ]
    for misfit in checked.misfits:
        if begun and misfit.path.endswith(UNBORN):
            continue
        do = b"move it to " + misfit.target if misfit.target else SAYS[ASIDE]
        files.append((Finding(misfit.what, do), partial(queuemend.place, queue, misfit)))
    for path in checked.stale:
        files.append((Finding(path + b" was left 36 hours ago", SAYS[REMOVE]), partial(queuemend.remove, path)))
    faults = [fault for fault in checked.faults() if fault.number not in begun]
    torn = [fault for fault in faults if fault.remedy != RENUMBER]
    twice = {fault.number for fault in torn}
    numbers = [fault for fault in faults if fault.remedy == RENUMBER and fault.number not in twice]
    return [
        files,
        [(Finding(each.what, SAYS[each.remedy]), partial(queuemend.mend, queue, each)) for each in torn],
        [(Finding(each.what, SAYS[RENUMBER]), partial(queuemend.renumber, queue, each.number)) for each in numbers],
    ]


def findings(home: Home) -> list[Finding]:
    """The same for who only wants to know; beside a qmail-send that runs, what stays wrong. Raises as `stages` does."""
    found = [finding for stage in stages(home) for finding, _ in stage]
    if standstill.is_there(home):
        return [finding for finding, _ in unfinished(home)] + found
    if found:
        clock.sleep(SECOND_LOOK)
        again = {finding.what for stage in stages(home) for finding, _ in stage}
        found = [finding for finding in found if finding.what in again]
    return found


def kept(home: Home) -> int:
    """How many files are in bad/."""
    try:
        return len(os.listdir(home.file(BAD)))
    except FileNotFoundError:
        return 0  # as C qmail leaves it


# ---- the directories, and the files in lock/


def _frame(home: Home) -> Iterator[Step]:
    accounts = None if home.single else installation.owners()
    for piece in _pieces(home):
        path = home.file(piece.name)
        make = partial(installation.settle, home.path, [piece])
        if not os.path.lexists(path):
            yield Finding(path + b" is missing", b"make it"), make
            continue
        # A directory may be a link to another disk; where nothing stands there, that is for a person to see to.
        status = os.stat(path) if piece.kind == "directory" else os.lstat(path)
        if not installation.KINDS[piece.kind](status.st_mode):
            what = path + b" is no " + piece.kind.encode()
            yield Finding(what, SAYS[ASIDE] + b", and make it"), partial(_replace, home, piece)
            continue
        uid = gid = -1
        if accounts is not None:
            uid, gid = accounts[piece.owner], accounts[b"group " + piece.group]
        have = stat.S_IMODE(status.st_mode)
        wrong = have & piece.mode != piece.mode or have & 0o022 & ~piece.mode
        if wrong or (accounts is not None and (status.st_uid, status.st_gid) != (uid, gid)):
            what = path + b" belongs to uid %d and gid %d, and has mode %o" % (status.st_uid, status.st_gid, have)
            yield Finding(what, _dressed(uid, piece.mode)), partial(_dress, path, uid, gid, piece.mode)


def _pieces(home: Home) -> Iterator[Piece]:
    """What the queue consists of before the first message, with as many parts as it has."""
    split = next(filter(None, (_parts(home.file(b"queue/" + kind)) for kind in SPLIT_KINDS)), SPLIT)
    for piece in installation.pieces():
        if not piece.name.startswith(b"queue/") or piece.name in OURS:
            continue
        if not piece.name.rpartition(b"/")[2].isdigit():
            yield piece
        if piece.name.removeprefix(b"queue/") in SPLIT_KINDS:
            for part in range(split):
                yield Piece(b"%b/%d" % (piece.name, part), "directory", piece.owner, piece.group, piece.mode)


def _parts(directory: bytes) -> int:
    try:
        return max([0, *(int(name) + 1 for name in os.listdir(directory) if name.isdigit())])
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _dressed(uid: int, mode: int) -> bytes:
    return b"give it mode %o" % mode if uid < 0 else b"give it to uid %d, with mode %o" % (uid, mode)


def _dress(path: bytes, uid: int, gid: int, mode: int) -> None:
    if uid >= 0:
        os.chown(path, uid, gid)
    os.chmod(path, mode)


def _replace(home: Home, piece: Piece) -> None:
    path = home.file(piece.name)
    queuemend.keep(home.queue, os.path.basename(os.path.dirname(path)), path)
    installation.settle(home.path, [piece])
