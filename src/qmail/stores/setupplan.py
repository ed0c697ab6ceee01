"""What `qmail setup` makes, in order: each step that is missing, with its words and its line of the record."""

from __future__ import annotations

import os

from qmail.formats import bootscript, cdb, servicescript, tcprules
from qmail.formats.verdict import Temporary
from qmail.host import durable
from qmail.stores import certificates, configuration, installation, library, setuprecord
from qmail.stores.control import Control

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[], None]

SERVICE, LOGS, RULES = b"/service", b"/var/log/qmail", b"/etc/tcp.smtp"
SYSTEMD, INITTAB, UNIT = b"/run/systemd/system", b"/etc/inittab", b"qmail.service"
GROUPS = (b"nofiles", b"qmail")
FIRST_PERSON, LAST_PERSON = 1000, 59999


class Step:
    """One thing to make. `says`: in words; `lines`: for the record; `text`: what a file will hold, for --dry-run."""

    __slots__ = ("lines", "make", "says", "text")

    def __init__(self, says: bytes, lines: list[bytes], make: Make, text: bytes | None = None) -> None:
        self.says, self.lines, self.make, self.text = says, lines, make, text


def steps(home: bytes, fqdn: bytes, person: bytes | None, argv0: bytes) -> Iterator[Step]:
    """Every step whose thing is missing now. A step is looked for when those before it are made."""
    if not os.path.isdir(home):
        yield Step(b"directory " + home, [b"directory " + home], lambda: None)
    yield from _accounts(home)
    yield from _tree(home)
    yield from _programs(home, argv0)
    yield from _files(home, fqdn, person)
    yield from _maildirs(home, person)
    yield from _services(home)
    yield from _names(home)
    yield from _start(home)


def people() -> list[tuple[bytes, bytes]]:
    """(name, home) of those who can log in, in the order of the account list."""
    import pwd

    found = []
    for entry in pwd.getpwall():
        closed = entry.pw_shell.endswith(("/false", "/nologin"))
        if FIRST_PERSON <= entry.pw_uid <= LAST_PERSON and not closed and os.path.isdir(entry.pw_dir):
            found.append((os.fsencode(entry.pw_name), os.fsencode(entry.pw_dir)))
    return found


def _accounts(home: bytes) -> Iterator[Step]:
    import grp
    import pwd

    groups = {entry.gr_name.encode() for entry in grp.getgrall()}
    for name in GROUPS:
        if name not in groups:
            yield Step(b"group " + name, [b"group " + name], _running(b"groupadd", name))
    users = {entry.pw_name.encode() for entry in pwd.getpwall()}
    for name in (*installation.ACCOUNTS, installation.KEYS, installation.CHECKS):
        if name not in users:
            group = b"qmail" if name in (b"qmailq", b"qmailr", b"qmails") else b"nofiles"
            place = home + b"/alias" if name == b"alias" else home
            words = (b"useradd", b"-M", b"-d", place, b"-s", b"/bin/false", b"-g", group, name)
            yield Step(b"user " + name + b" of group " + group, [b"user " + name], _running(*words))


def _tree(home: bytes) -> Iterator[Step]:
    missing = [piece for piece in installation.pieces() if not os.path.lexists(home + b"/" + piece.name)]
    if missing:
        kind = {"directory": b"directory "}
        lines = [kind.get(piece.kind, b"piece ") + home + b"/" + piece.name for piece in missing]
        says = b"%d directories and files of the queue and its home in " % len(missing) + home
        yield Step(says, lines, lambda: installation.create(home))


def _programs(home: bytes, argv0: bytes) -> Iterator[Step]:
    thing = b"programs " + home
    if os.path.exists(home + b"/bin/qmail-send") and not setuprecord.half_made(home, thing):
        return
    source = library.running()
    script = os.path.join(os.path.dirname(source.lib), "setup", "install.py")

    def make() -> None:
        if os.path.exists(script):  # a checkout has more to install than programs
            _running(
                *map(os.fsencode, (source.interpreter, script)), home, *map(os.fsencode, (source.lib, source.site))
            )()
        else:
            _copy(home, source, argv0)
        setuprecord.add(home, [b"made " + thing])

    yield Step(b"programs, manuals and start-up scripts in " + home, [thing], make)


def _copy(home: bytes, source: library.Source, argv0: bytes) -> None:
    library.install(home, source)
    place = os.fsdecode(home) + "/lib"
    installed = library.Source(place, place, source.interpreter)
    library.launchers(home + b"/bin", library.programs_beside(argv0), installed)
    for name, text in bootscript.scripts(home):
        _write(home + b"/boot/" + name, text, 0o755)


def _files(home: bytes, fqdn: bytes, person: bytes | None) -> Iterator[Step]:
    control = home + b"/control/"
    if not os.path.lexists(control + b"me"):
        # A new system's; one that has lived without goes on without.
        yield from _file(control + configuration.EXTENSIONS, configuration.extensions())
    yield from _file(control + b"me", fqdn + b"\n")
    yield from _file(control + b"defaultdomain", configuration.default_domain(fqdn) + b"\n")
    yield from _file(control + b"plusdomain", configuration.plus_domain(fqdn) + b"\n")
    for name in (b"locals", b"rcpthosts"):
        yield from _file(control + name, fqdn + b"\n")
    alias = home + b"/alias/.qmail-"
    yield from _file(alias + b"root", b"./Maildir/\n" if person is None else b"&" + person + b"\n")
    for name in (b"postmaster", b"mailer-daemon", b"abuse"):
        yield from _file(alias + name, b"&root\n")
    yield from _file(RULES, servicescript.RULES)
    if not os.path.lexists(RULES + b".cdb"):
        rules = servicescript.RULES
        if os.path.exists(RULES):
            with open(RULES, "rb") as file:
                rules = file.read()
        yield from _file(RULES + b".cdb", cdb.make(tcprules.records(tcprules.rules(rules.split(b"\n")))), shown=False)


def _maildirs(home: bytes, person: bytes | None) -> Iterator[Step]:
    make = home + b"/bin/maildirmake"
    if os.path.isdir(b"/etc/skel") and not os.path.lexists(b"/etc/skel/Maildir"):
        yield Step(b"Maildir for every new user", [b"maildir /etc/skel/Maildir"], _running(make, b"/etc/skel/Maildir"))
    wanted = people() + ([(b"alias", home + b"/alias")] if person is None else [])
    for name, place in wanted:
        if not os.path.lexists(place + b"/Maildir"):
            # As that user: nobody's home is a place where root may write.
            words = (home + b"/bin/setuidgid", name, make, place + b"/Maildir")
            yield Step(b"Maildir of " + name, [b"maildir " + place + b"/Maildir"], _running(*words))


def _services(home: bytes) -> Iterator[Step]:
    yield from _directory(LOGS)
    yield from _directory(home + b"/supervise")
    yield from _directory(SERVICE)
    certified = certificates.files(Control(home))
    wanted = [name for name, file in servicescript.WANTED if os.path.lexists(home + b"/control/" + file)]
    names = [*servicescript.NAMES, *(servicescript.SECURE if certified else ()), *wanted]
    for name in names:
        log, place = LOGS + b"/" + name, home + b"/supervise/" + name
        if not os.path.isdir(log):
            yield Step(b"log directory " + log + b" of qmaill", [b"directory " + log], lambda log=log: _log(log))  # type: ignore[misc]  # mypy infers no type for the default
        yield from _directory(place)
        yield from _directory(place + b"/log")
        yield from _file(place + b"/run", servicescript.run(home, name), 0o755)
        yield from _file(place + b"/log/run", servicescript.log_run(home, log), 0o755)
    for name in names:
        yield from _link(home + b"/supervise/" + name, SERVICE + b"/qmail-" + name)


def _names(home: bytes) -> Iterator[Step]:
    yield from _link(home + b"/bin/sendmail", b"/usr/sbin/sendmail")
    yield from _link(home + b"/bin/sendmail", b"/usr/lib/sendmail")
    yield from _link(home + b"/bin/qmail", b"/usr/local/bin/qmail")


def _start(home: bytes) -> Iterator[Step]:
    if os.path.isdir(SYSTEMD):
        path = b"/etc/systemd/system/" + UNIT
        thing = b"unit " + UNIT
        if not os.path.exists(path) or setuprecord.half_made(home, thing):
            text = servicescript.unit(home, SERVICE)

            def enable() -> None:
                _write(path, text, 0o644)
                _running(b"systemctl", b"daemon-reload")()
                _running(b"systemctl", b"enable", b"--now", UNIT)()
                setuprecord.add(home, [b"made " + thing])

            sum_line = b"file " + setuprecord.sum_of(text) + b" " + path
            yield Step(b"unit " + path, [sum_line, thing], enable, text)
    elif os.path.exists(INITTAB):
        with open(INITTAB, "rb") as file:
            text = file.read()
        if b"svscanboot" not in text:
            line = b"SV:123456:respawn:" + home + b"/bin/svscanboot"
            new = text + (b"" if text.endswith(b"\n") else b"\n") + line + b"\n"
            mode = os.stat(INITTAB).st_mode & 0o777
            yield Step(
                b"line in " + INITTAB, [b"line " + line + b"\t" + INITTAB], lambda: _write(INITTAB, new, mode), line
            )


def _file(path: bytes, text: bytes, mode: int = 0o644, *, shown: bool = True) -> Iterator[Step]:
    if not os.path.lexists(path):
        line = b"file " + setuprecord.sum_of(text) + b" " + path
        yield Step(b"file " + path, [line], lambda: _write(path, text, mode), text if shown else None)


def _directory(path: bytes) -> Iterator[Step]:
    if not os.path.isdir(path):
        yield Step(b"directory " + path, [b"directory " + path], lambda: os.mkdir(path, 0o755))


def _link(target: bytes, path: bytes) -> Iterator[Step]:
    if not os.path.lexists(path):
        yield Step(
            b"link " + path + b" to " + target, [b"link " + target + b" " + path], lambda: os.symlink(target, path)
        )


def _write(path: bytes, text: bytes, mode: int) -> None:
    durable.replace_file(path, path + b".new", text, mode)


def _log(path: bytes) -> None:
    import pwd

    os.mkdir(path, 0o755)
    entry = pwd.getpwnam("qmaill")
    os.chown(path, entry.pw_uid, entry.pw_gid)


def _running(*words: bytes) -> Make:
    def make() -> None:
        if code := setuprecord.run(*words):
            raise Temporary(b" ".join(words) + b": exit code %d" % code)

    return make
