"""ezmlm-make: a new mailing list.

Usage: ezmlm-make [-+] [-aAbBdDeEfFgGhHjJlLpPrRsStTuUwWxX] [-035789 ARGUMENT] DIR [DOT LOCAL HOST [CODE]]

    ezmlm-make ~/sos ~/.qmail-sos joe-sos example.org
    ezmlm-sub ~/sos ann@example.com

makes the list joe-sos@example.org, with everything in the new directory DIR, and
.qmail files that begin with DOT and lead there. LOCAL@HOST must be the address
for which DOT answers. DIR and DOT begin with a slash. Capital letters mean the
opposite, and are the default where nothing else is said.

    -a  (default) an archive, with an index, and answers from it
    -b  the archive is for moderators alone        -g  for subscribers alone
    -d  digests, at LIST-digest                    -f  [LOCAL] in front of each subject
    -h  who comes need not confirm it              -j  who goes need not
    -l  moderators may see who is on the list      -p  (default) anybody may come and go
    -r  moderators may act for others              -s  moderators decide who comes
    -t  a text at the end of each message          -u  only subscribers may write
    -w  bouncing addresses stay                    -x  no HTML, no office files, at most 30,000 bytes
    -0 PARENT@HOST  a sublist of that list
    -3 FROM  From of each message becomes this
    -5 ADDRESS  mail for LIST-owner is sent on there
    -8 DIRECTORY, -9 DIRECTORY  where the moderators are, for -s and -r, in place of DIR/mod
    -e  change an existing list: only what differs, DOT and the rest may be left out
    -E  (default) make a new one
    -+  the same as -e, and options that are not said stay as they are
    -ee, -++  write the texts and lists of fields anew too
    -k, -K, -q, -Q, -z, -Z, -4 ARGUMENT, -7 ARGUMENT  taken for the sake of old scripts; mean nothing
    -c, -C, -i, -m, -n, -o, -y, -6  refused, see below; -I, -M, -N, -O, -Y are the default
    -v, -V  show the version

Behaviour:
A list appears with its DIR as a whole, its .qmail files last. CODE lets mail to
LIST-dig.CODE begin a digest. DIR/key is made of 64 random bytes: who has it can
subscribe and unsubscribe anybody. Options for what is not here (message
moderation, confirmed posts, editing by mail, templates, archives for the web,
subscribers in SQL) are refused, also where -+ finds them in a list of another
version; say -M, -Y and so on to have the list without.

An existing DIR/editor that runs no program stays as it is. While a list is
edited mail may come in between; `chmod +t` on the home holds it
back (see dot-qmail(5)).

Files: DIR/, DOT, DOT-default, DOT-owner, DOT-return-default, DOT-digest-owner,
DOT-digest-return-default.
Runs as: who is to own the list.
Exit codes: 0; 100 usage, what cannot be had, DIR or DOT is there already, or is
    not; 111 a failure that may pass.
See also: ezmlm(5), ezmlm-sub(1), dot-qmail(5).
"""

from __future__ import annotations

import os
import shutil

import qmail
from qmail.formats.listflags import BY_LETTER
from qmail.formats.listsetup import DEFAULTS, MISSING, Setup
from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Ending, Permanent, Temporary, Usage
from qmail.host import clock, durable, program
from qmail.host.reasons import reason
from qmail.stores import home, listarchive
from qmail.stores.listdir import MailingList

USAGE = b"ezmlm-make: usage: ezmlm-make [ -+ ] [ -a..zABD..Z ] [ -03..9 arg ] dir [ dot local host [ digestcode ] ]"
DIRECTORIES = (
    b"archive", b"subscribers", b"bounce", b"text",
    *(each + b"/" + name for each in (b"digest",) for name in (b"subscribers", b"bounce")),
    *(each + b"/subscribers" for each in (b"allow", b"deny", b"mod")),
)  # fmt: skip
LOCKS = (b"lock", b"lockbounce", b"digest/lock", b"digest/lockbounce")
FAMILIAR = b"abdefghjklpqrstuwxz"
SMALL = b"035789"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    os.umask(0o077)
    said, words = _options(argv)
    if not words or len(words) in (2, 3) or len(words) > 5 or not words[0].startswith(b"/"):
        raise Usage(USAGE)
    editing = b"e" in said or b"+" in said
    old = MailingList(words[0].rstrip(b"/")) if editing else None
    ours = home.find(argv[0], environ).program(b"ezmlm-make")
    setup = _setup(words, old, os.path.dirname(ours if os.path.exists(ours) else os.path.realpath(argv[0])))
    _apply(setup, said, old)
    if len(words) == 5:
        setup.arguments = {**setup.arguments, b"C": words[4]}
    try:
        if old is None:
            _create(setup)
        else:
            _edit(setup, old, anew=b"ee" in said or b"++" in said or len(words) > 1)
    except OSError as error:
        name = error.filename2 or error.filename or setup.path
        raise Temporary(b"unable to make " + os.fsencode(name) + b": " + reason(error)) from error
    return 0


def _options(argv: list[bytes]) -> tuple[dict[bytes, bytes], list[bytes]]:
    try:
        found, words = options(argv[1:], b"+aAbBcC:dDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUwWxXyYzZvV0:3:4:5:6:7:8:9:")
    except Wrong as wrong:
        raise Usage(b"ezmlm-make: " + wrong.text + b"\n" + USAGE) from None
    said: dict[bytes, bytes] = {}
    for letter, value in found:
        if letter in b"vV":
            raise Ending(b"ezmlm-make: pyqmail " + qmail.__version__.encode(), code=0, plain=True)
        if letter in MISSING:
            _refuse(letter)
        if letter in said:
            said[letter * 2] = value
        said.pop(letter.swapcase(), None)
        said[letter] = value
    return said, words


def _refuse(letter: bytes) -> None:
    raise Permanent(b"-%b is not possible: %b" % (letter, MISSING[letter]))


def _setup(words: list[bytes], old: MailingList | None, programs: bytes) -> Setup:
    path = words[0].rstrip(b"/")
    if len(words) >= 4:
        dot, local, host = words[1:4]
    elif old is not None:
        dot = old.line(b"dot") or next((line[2:] for line in old.lines(b"config") if line.startswith(b"T:")), b"")
        local, host = old.local, old.host
    else:
        raise Usage(USAGE)
    if not dot.startswith(b"/") or not local or not host:
        raise Usage(USAGE)
    if any(byte in word for word in (path, dot, local, host, *words[4:]) for byte in (b"'", b"\n")):
        raise Permanent(b"quotes and line breaks are not possible in names")
    return Setup(path, dot, local, host, programs)


def _apply(setup: Setup, said: dict[bytes, bytes], old: MailingList | None) -> None:
    """What holds: the defaults, or with -+ what held before, and what was said."""
    flags = {b"%c" % byte for byte in DEFAULTS}
    arguments: dict[bytes, bytes] = {}
    if old is not None:
        kept = {b"C": b"digestcode", b"0": b"sublist", b"8": b"modsub", b"9": b"remote"}
        before = {letter: line for letter, name in kept.items() if (line := old.line(name))}
        if b"+" not in said:
            before = {letter: line for letter, line in before.items() if letter == b"C"}
        elif (owner := _owner(old)) is not None:
            before[b"5"] = owner
        arguments |= before
        if b"+" in said:
            letters = {letter for letter in BY_LETTER if letter in old.flags()}
            for letter in sorted(letters & MISSING.keys()):
                if letter.upper() not in said and letter not in b"C":
                    _refuse(letter)  # a moderated list must not become an open one
            flags = {letter for letter in letters if letter in FAMILIAR}
            flags |= {b"t"} if old.has(b"text/trailer") else set()
            setup.touched = frozenset(letter.lower() for letter in said)
    for letter, value in said.items():
        if letter in SMALL:
            arguments[letter] = value
        elif letter.isupper():
            flags.discard(letter.lower())
        elif letter in FAMILIAR:
            flags.add(letter)
    setup.flags, setup.arguments = frozenset(flags - {b"e"}), arguments


def _owner(old: MailingList) -> bytes | None:
    """Where mail for the owner goes, where that was said."""
    lines = [line for line in old.lines(b"owner") if not line.startswith(b"|")]
    return lines[0] if lines and lines[0] != old.file(b"Mailbox") else None


def _create(setup: Setup) -> None:
    """Make all of it beside its place, move it there, and then make the links."""
    for path in (setup.path, *setup.links()):
        if os.path.lexists(path):
            raise Permanent(path + b" is there already")
    making = setup.path + b".making"
    shutil.rmtree(making, ignore_errors=True)
    for name in (b"", *DIRECTORIES):
        os.makedirs(making + b"/" + name, 0o755 if name.startswith(b"archive") else 0o700)
    files = setup.fixed() | setup.kept() | dict.fromkeys(LOCKS, b"") | {b"key": os.urandom(64)}
    if b"d" in setup.flags:
        files[b"dignum"] = b"0:0:%d\n" % int(clock.now())
    for name, text in files.items():
        _write(making + b"/" + name, text)
    for name in (b"", *DIRECTORIES, b"digest"):
        durable.sync_directory(making + b"/" + name)
    durable.rename(making, setup.path)
    durable.sync_directory(os.path.dirname(setup.path))
    _link(setup)


def _edit(setup: Setup, old: MailingList, *, anew: bool) -> None:
    """Bring an existing list up to date; what its owner may have written stays unless `anew`."""
    for name in DIRECTORIES:
        os.makedirs(old.file(name), 0o700, exist_ok=True)
    kept = {name: text for name, text in setup.kept().items() if anew or not os.path.lexists(old.file(name))}
    made = {name: b"" for name in LOCKS if not os.path.lexists(old.file(name))}
    if not os.path.lexists(old.file(b"key")):
        made[b"key"] = os.urandom(64)
    if b"d" in setup.flags and not os.path.lexists(old.file(b"dignum")):
        # The first digest begins here, not with the first message of all.
        made[b"dignum"] = b"%d:%d:%d\n" % (*listarchive.last(old), int(clock.now()))
    fixed = setup.fixed()
    editor = old.lines(b"editor")
    if editor and not any(line.startswith(b"|") for line in editor):
        # Somebody looks at each message: that must not end unsaid.
        del fixed[b"editor"]
        program.say(2, b"ezmlm-make: info: " + old.file(b"editor") + b" runs no program, and stays\n")
    for name, text in (fixed | kept | made).items():
        durable.replace_file(old.file(name), old.file(name) + b".new", text, 0o600)
    for name in setup.gone():
        durable.remove(old.file(name))
    _link(setup)


def _link(setup: Setup) -> None:
    # The list's own address comes last: what it needs is there by then.
    for path, target in reversed(list(setup.links().items())):
        if os.path.islink(path) and os.readlink(path) == target:
            continue
        new = path + b".new"
        durable.remove(new)
        os.symlink(target, new)
        durable.rename(new, path)
    durable.sync_directory(os.path.dirname(setup.dot))


def _write(path: bytes, text: bytes) -> None:
    descriptor = durable.create(path, 0o600)
    try:
        os.write(descriptor, text)
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
