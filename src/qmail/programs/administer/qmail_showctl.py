"""qmail-showctl: what the control files say, and what holds where they say nothing.

Usage: qmail-showctl

    qmail-showctl

Behaviour:
First what was decided when the programs were built and installed, then each
control file in words, `(Default.)` where it is missing, and at the end the
files that no program reads: a misspelled name shows up there. What is not plain
ASCII is shown as `?`. qmail-control(5) explains the files.

On a terminal it says what holds here. Elsewhere the words are those that
programs know from older systems; one sentence differs: without rcpthosts it
says `any recipient`, and it is recipients without a host.

Environment: QMAIL_HOME, else the parent of the bin/ that it stands in.
Files: everything in control/.
Runs as: anybody.
Exit codes: 0; 111 control/ or control/me cannot be read.
"""

from __future__ import annotations

import os

from qmail.formats.controlfile import TABLE
from qmail.formats.controlkinds import ME, Compiled, Line, Lines, Whole
from qmail.formats.queuefile import SPLIT
from qmail.formats.verdict import TEMPORARY, Temporary
from qmail.host import program
from qmail.stores import home
from qmail.stores.control import Control, leading_digits
from qmail.stores.installation import ACCOUNTS

BREAK, PATERNALISM, SPAWN = b"-", 2, 120  # the extension's mark, writable bits that are too many, deliveries at once
TROUBLE = b"Oops! Trouble reading this file."
PLAIN = bytes(byte if 32 <= byte < 127 else ord("?") for byte in range(256))
UNKNOWN = b"I have no idea what this file does."


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    place = home.find(argv[0], environ)
    control = Control(place.path)
    program.say(1, _built(place))
    try:
        names = sorted(os.listdir(control.directory))
    except OSError:
        program.say(1, b"Oops! Unable to chdir to control.\n")
        return TEMPORARY
    try:
        me = control.line(ME)
    except Temporary:
        program.say(1, b"Oops! Trouble reading control/me.")
        return TEMPORARY
    shown = [_one(entry, control, me) for entry in TABLE if entry.name in names or not _is_new(entry)]
    known = {entry.name for entry in TABLE}
    shown += [(name, UNKNOWN) for name in names if name not in known]
    program.say(1, b"".join([b"\n%b: %b\n" % (_plain(name), text) for name, text in shown]))
    return 0


def _plain(text: bytes) -> bytes:
    """For a terminal: what is no plain ASCII is a question mark."""
    return text.translate(PLAIN)


def _built(place: home.Home) -> bytes:
    lines = [
        b"qmail home directory: " + _plain(place.path) + b".",
        b"user-ext delimiter: " + BREAK + b".",
        b"paternalism (in decimal): %d." % PATERNALISM,
        b"silent concurrency limit: %d." % SPAWN,
        b"subdirectory split: %d." % _split(place),
        b"user ids: " + b", ".join([b"%d" % uid for uid in _users(place)]) + b".",
        b"group ids: " + b", ".join([b"%d" % gid for gid in _groups(place)]) + b".",
    ]
    return b"".join([line + b"\n" for line in lines])


def _split(place: home.Home) -> int:
    try:
        return len(os.listdir(place.queue + b"/mess"))
    except OSError:
        return SPLIT  # only qmailq may look


def _users(place: home.Home) -> list[int]:
    # root stands where it always stood, behind qmaill.
    uids = [place.account(name)[0] for name in ACCOUNTS]
    return [*uids[:3], 0, *uids[3:]]


def _groups(place: home.Home) -> list[int]:
    return [place.account(b"qmaill")[1], place.account(b"qmailq")[1]]


def _is_new(entry: Line | Lines | Compiled | Whole) -> bool:
    # Who reads our words by program expects the files of C qmail, and these alone.
    return isinstance(entry, Whole) or (isinstance(entry, Lines | Compiled) and entry.new)


def _one(entry: Line | Lines | Compiled | Whole, control: Control, me: bytes | None) -> tuple[bytes, bytes]:
    try:
        if isinstance(entry, Whole):
            return entry.name, entry.says
        if isinstance(entry, Line):
            return entry.name, _line(entry, control, me)
        if isinstance(entry, Lines):
            return entry.name, _lines(entry, control)
        return entry.name, _compiled(entry, control)
    except Temporary:
        return entry.name, TROUBLE


def _line(entry: Line, control: Control, me: bytes | None) -> bytes:
    value = control.line(entry.name)
    if entry.number and value is not None:
        digits = leading_digits(value)
        value = b"%d" % int(digits) if digits else None
    if value is not None:
        return entry.says % _plain(value)
    if entry.default is None:
        return b"(Default.) " + entry.unset
    default = (entry.name if me is None else me) if entry.default == ME else entry.default
    return b"(Default.) " + entry.says % _plain(default)


def _lines(entry: Lines, control: Control) -> bytes:
    lines, says = control.lines(entry.name), entry.says
    unset = entry.told if os.isatty(1) else entry.unset
    if entry.name == b"morercpthosts" and not _exists(control, b"rcpthosts"):
        says = b"No rcpthosts; doesn't matter that morercpthosts has %b."
        unset = b"No rcpthosts; morercpthosts is irrelevant."
    if lines is None:
        return b"(Default.) " + unset
    return b"".join([b"\n" + says % _plain(line) for line in lines])


def _compiled(entry: Compiled, control: Control) -> bytes:
    source, made = (_changed(control, name) for name in (entry.source, entry.name))
    if made is None:
        if source is None:
            return b"(Default.) No effect."
        return b"Oops! " + entry.source + b" exists but " + entry.name + b" doesn't."
    if source is None:
        return b"Oops! " + entry.name + b" exists but " + entry.source + b" doesn't."
    if source > made:
        return b"Oops! " + entry.name + b" is older than " + entry.source + b"."
    return b"Modified recently enough; hopefully up to date."


def _exists(control: Control, name: bytes) -> bool:
    return _changed(control, name) is not None


def _changed(control: Control, name: bytes) -> int | None:
    try:
        return int(os.stat(control.directory + b"/" + name).st_mtime)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Temporary() from error
