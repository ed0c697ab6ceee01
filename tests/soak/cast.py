"""Who gets mail, how, and what may become of it."""

from __future__ import annotations

from soak.letters import DELIVERED, HANDED, SILENT, TOLD
from soak.sink import Sink
from soak.system import HOST, System

JOES = [f"joe{number}" for number in range(6)]
BOUNCES, POST, BOX, PROGRAM, SOFT, FAILS, FORWARD = "bounces", "post", "box", "prog", "soft", "fails", "fwd"
# Done when the file has its name; what ends before that is not done.
SAVE = "|t=tmp.$$; cat > $t && mv $t done/$$.$(date +%s.%N) || { rm -f $t; exit 111; }\n"
LATER = "|test -f ready || test $(($(date +%s) % 4)) = 0 || exit 111\n./Maildir/\n"

# How often each gets mail, and how it may end.
RECIPIENTS: dict[str, tuple[int, set[str]]] = {
    **{f"{joe}@{HOST}": (6, {DELIVERED}) for joe in JOES},
    f"{BOX}@{HOST}": (5, {DELIVERED}),
    f"{PROGRAM}@{HOST}": (1, {DELIVERED}),
    f"{SOFT}@{HOST}": (2, {DELIVERED}),
    f"{FORWARD}@{HOST}": (3, {DELIVERED}),
    f"{FAILS}@{HOST}": (3, {TOLD}),
    "x@steady.far": (12, {HANDED, SILENT}),
    "y@steady.far": (3, {HANDED, SILENT}),
    "x@moody.far": (12, {HANDED, SILENT, TOLD}),
    "x@never.far": (2, {TOLD}),
    "x@closed.far": (1, set()),
}
FATES = {name: fates for name, (_, fates) in RECIPIENTS.items()}


def prepare(system: System, sink: Sink) -> None:
    """Users, aliases and control files."""
    system.install()
    for name, text in {
        "me": HOST, "locals": HOST, "defaultdomain": HOST, "databytes": "400000",
        "rcpthosts": "\n".join([HOST, "steady.far", "moody.far", "never.far", "closed.far"]),
        "smtproutes": sink.routes(), "timeoutremote": "8", "timeoutconnect": "5", "timeoutsmtpd": "30",
        "concurrencylocal": "20", "concurrencyremote": "20", "bouncehost": HOST, "doublebouncehost": HOST,
    }.items():  # fmt: skip
        system.control(name, text)
    for name in (*JOES, BOUNCES, POST, BOX, PROGRAM, SOFT, FAILS, FORWARD):
        user = system.user(name)
        user.file(".qmail-default", "./Maildir/\n")
    for name, text in {
        BOX: "./Mailbox\n", PROGRAM: SAVE, SOFT: LATER, FAILS: "|exit 100\n", FORWARD: f"&{JOES[0]}@{HOST}\n",
    }.items():  # fmt: skip
        system.users[name].file(".qmail", text)
    (system.users[PROGRAM].home / "done").mkdir()
    (system.users[PROGRAM].home / "done").chmod(0o777)
    system.assign({"postmaster": f"{POST}@{HOST}\n"})
    system.services()


def calm(system: System, sink: Sink) -> None:
    """From now on nothing is put off for long."""
    sink.calm.set()
    system.users[SOFT].file("ready", "")
