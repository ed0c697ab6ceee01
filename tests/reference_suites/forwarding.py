"""The cases of the fastforward package and of dot-forward, played by one side.

    unshare -m forwarding.py originals|ours DIRECTORY > results

In a mount namespace of its own, with an empty /etc and a home at /var/lib/qmail, where Debian's originals look
for it. A result is [exit code, what came of it], in a form that does not depend on the order of recipients.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src"))

from qmail.formats import cdb
from qmail.host import program
from qmail.services.catalogue import programs

CONTROL = {"me": "me.example", "defaultdomain": "dd.example", "defaulthost": "dh", "plusdomain": "pd.example"}
QUEUE = """#!/bin/sh
cat >message
cat <&1 >envelope
"""
MESSAGE = b"Subject: hi\n\nbody\n"
VARIABLES = {
    "SENDER": "s@s.example", "NEWSENDER": "s@s.example", "HOST": "h", "USER": "joe", "DTLINE": "Delivered-To: x\n",
    "UFLINE": "From s\n", "RPLINE": "Return-Path: <s>\n", "PATH": "/var/lib/qmail/bin:/usr/bin:/bin",
    "QMAIL_HOME": "/var/lib/qmail",
}  # fmt: skip
LONG = "x" * 790

TABLES = [
    "a@b: c@d", "a@b: c@d, ;", "a@b: , c@d,, e@f;", "a@b c@d;", "a@b: c:d;", "a@b: (x)@y;", "a@b: c@d; ;", ": c@d;",
    "a@b;", "a@b, c@d: e@f;", "a@b: c\\\n@d; #x", "a@b: x\\,y@d, |a\\;b#foo\n c, |;", "A\\@B\\:C: x@y;", "a@b: x@y;\\",
    "a@b: x\\", "a\0b: x@y;", "a@b: &;", "a@b: &noat, ?;", "a@b: ?o@x; a@b: ?p@x, c@d;", 'a@b: "x"@y;', "", "#",
    "x#", "a@b: x@y;#", "a:&x,|y,!z,/l,./l,.l,~z;", "a: ;", "a", "a:", "a:b;;", "a:b;\n\n\t c\t d : e\tf ;",
    f"a: {LONG}@b.example;", f"a: {LONG}@verylong.example;", f"a: |{LONG}{LONG};",
]  # fmt: skip
LISTS = [
    "a@b", " a@b\n", "?a@b\n", "|x\n", "a\0b\n", "x\r\n", "   \n#x\n #y\n", "& a@b\n", "&\n", "x" * 800, "x" * 801,
    "/" + "x" * 900, "a@b \t\n./x\n/y\n.z\n&/y@z\n",
]  # fmt: skip
BINARY = ["&a@b\0/x\0./y\0", "", "&a@b\0&zz", "&a@b\0foo\0", "|x\0", "\0", "&c@d \0&\t\0/x\t\0"]
ALIASES = [
    "root: alice, bill\nX@Y.Z : foo+, a@b+\nhost: fred@foo\n\nhostmaster:\n   fred,\n\n joe\n# c\n more c\n",
    "@virt.dom: joe\n(all the rest)@other.dom: joe\n", 'weather: "|weather-server -x"\n', "a: |prog\n",
    "a: |prog arg\n", 'a: |"prog arg"\n', 'a: "|prog a@b"\n', 'a: "|prog"@x.y\n', "a: /file\n", 'a: "/file"@x.y\n',
    "root bob fred\n",
    "root, bob\n", "root\n", "root:\n", " indented: first\n", "list: :include:/etc/list, a@b\nowner-list: bob\n",
    'l2: :include: "/etc/sp ace" \nl3 : : include : /x\nl4: :include:rel\n', "a: :include:\n", "a: include:/x\n",
    "a: :include:/x/y z/w\n", "Joe Shmoe <joe@x.y>: k@x\n", '"a b": k@x\n"a b"@c.d: k\n', "joe@: k@x\n", "@: k@x\n",
    "owner-list@x.y: o@x.y\nlist@x.y: a@b.c\n", "owner-owner: o@x.y\nowner: a@b.c\n", "OWNER-L: o@x.y\nL: a@b.c\n",
    "a: g: b@x.y, c@x.y; d\n", "a: <@r1,@r2:b@x.y>\n", 'a: "unb\n', "a: (x\n y) b@c.d\n", "a\n\n : b@c.d\r\n",
    "a: b@c.d", f"a: {LONG}@verylong.example\n", "a: \\joe\n", "|x: b@c.d\n", "/x: b@c.d\n", 'a: ":include:/x"\n',
    'a: ""@c.d, ""\n', "a: b@c.d.\n", "a: b@[1.2.3.4]\n", "a: b.c@d\\@e.f\n", "a: b%c!d\n", "a : b\n: c\n",
    "a: b, , ,c\n", "", 'a: <b\n',
    "a: <b@c.d> <e@f.g>\n", "a: <|p>\n", "a: b@c.d e@f.g\n", "a: b\0c@d.e\n", "a: )\n",
]  # fmt: skip
INCLUDES = [
    'a@b.c, d, "x y"@z\n# c\n\nJoe <joe@foo>, e@f+\n', " a@b.c\n  d@e.f\n", "a@b.c", "/file\n", "|prog\n", '"|prog"\n',
    '"|prog"@x.y\n', 'a@b.c\n"unbalanced\n', ":include:/a, c@d.e\n", ":include:\n", "include:/x\n", "", "a\0b@c\n",
    "g: a@b.c, d@e.f;\n", f"{LONG}@verylong.example\n", "foo\n",
]  # fmt: skip
TABLE = """
one@h: ./one.bin; r@h: &root@h, &x@y, |echo\\ $SENDER\\ $RECIPIENT, !cat;
root@h: ?owner-root@h, &z@z, &x@y, x@y;
loop@h: &loop@h, l2@h, a@a; l2@h: loop@h, q@q; self@h: self@h; s1@h: s2@h; s2@h: s1@h;
u@: u1@z; @wild.h: w@z, u@wild.h; rec@h: u@foo, any@wild.h, EXACT@h; exact@h: e@z;
many@h: root@h, root@h, x@y, X@y, ./two.bin, ./two.bin; empty@h: ?o@h; missing@h: ./none.bin, a@b;
own@h: ?own-own@h, z@z, nested@h; nested@h: n@n; ow@h: ow@h, ?ow-o@h; noat: nn@n; plain@h: noat;
a\\@b@c: 1@x; q\\@b@: 2@x; @b@c: 3@x; @c2: 4@x; u@owned: x@x; u@owned: ?o@o; @ownd: ?oo@o, x@x;
x0@h: |exit\\ 0, |echo\\ next, z@z; x99@h: |exit\\ 99, z@z; x100@h: |exit\\ 100, |echo\\ n, z@z;
x111@h: |exit\\ 111, |echo\\ n, z@z; x1@h: |exit\\ 1, z@z; x64@h: |exit\\ 64, z@z; xk@h: |kill\\ -9\\ $$, z@z;
two@h: |cat\\ >/dev/null, |cat, z@z; dup@h: |echo\\ 1, |echo\\ 1, d2@h; d2@h: |echo\\ 1;
bad@h: ./bad.bin; cut@h: ./cut.bin; private@h: ./private.bin; dir@h: ./dir.bin; hollow@h: ./hollow.bin;
"""
FILES = {
    "one.bin": "&a@x\0&b@x\0./two.bin\0", "two.bin": "&c@x\0&a@x\0&exact@h\0./one.bin\0", "bad.bin": "&a@x\0foo\0",
    "cut.bin": "&a@x\0&zz", "hollow.bin": "", "private.bin": "&a@x\0",
}  # fmt: skip
RECIPIENTS = [
    "one@h", "r@h", "root@h", "ROOT@H", "loop@h", "l2@h", "self@h", "s1@h", "u@foo", "u@wild.h", "zz@wild.h", "rec@h",
    "many@h", "empty@h", "missing@h", "nobody@h", "noat", "u", "own@h", "ow@h", "plain@h", "a@b@c", "q@b@c", "z@b@c",
    "z@c2", "z@z@c2", "u@owned", "q@ownd", "x0@h", "x99@h", "x100@h", "x111@h", "x1@h", "x64@h", "xk@h", "two@h",
    "dup@h", "bad@h", "cut@h", "private@h", "dir@h", "hollow@h", "",
]  # fmt: skip
FORWARDS = [
    "", "joe\n", "JOE@H\n", "bob, \\joe\n", 'bob@x, "|cat"\n# c\nJoe Shmoe <a@b.c>\n', '"|exit 100"\nbob\n',
    '"|exit 64"\nbob\n', '"|exit 3"\nbob\n', '"|exit 99"\nbob\n', '"|exit 111"\n', "/box\n", ":include:/l\n", "(x\n",
    "<@r,@s:bob@c.d>\n", "bob@x+\n", "# only\n", "|cat\n", '"|cat"@x.y\n', "bob (c) @d.e\n", "joe@h.dd.example\n",
    "bob", '"|cat; cat >/dev/null", "|cat"\n', "g: a@b.c, d@e.f;\n", '"|kill -9 $$"\n', "a@b.c, ,\n",
]  # fmt: skip

PRINTERS = ("printforward", "printmaillist")


class Side:
    """The originals, run in a directory; what they leave there is taken away by who looks at it."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def run(self, *argv: str, text: bytes = b"", **more: str) -> tuple[int, bytes, bytes]:
        """The exit code of one program, and what it wrote on 1 and 2."""
        (self.place / "input").write_bytes(text)
        with open(self.place / "input", "rb") as given, open("out", "w+b") as out, open("words", "w+b") as words:
            code = self.start(list(argv), VARIABLES | more, [given.fileno(), out.fileno(), words.fileno()])
            return code, Path("out").read_bytes(), Path("words").read_bytes()

    def start(self, argv: list[str], environ: dict[str, str], descriptors: list[int]) -> int:
        name = "/usr/sbin/qmail-newaliases" if argv[0] == "newaliases" else f"/usr/bin/{argv[0]}"
        given, out, words = descriptors
        return subprocess.run(
            [name, *argv[1:]], stdin=given, stdout=out, stderr=words, cwd=self.place, env=environ, timeout=30
        ).returncode


class Ours(Side):
    """Our programs: their main in a child of its own, without a new interpreter for each."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        names = ("fastforward", "dot-forward", "newaliases", "newinclude", "setforward", "setmaillist")
        self.modules = {name: importlib.import_module(programs()[name]) for name in (*names, *PRINTERS)}

    def start(self, argv: list[str], environ: dict[str, str], descriptors: list[int]) -> int:
        pid = os.fork()
        if not pid:
            try:
                for target, source in enumerate(descriptors):
                    os.dup2(source, target)
                os.chdir(self.place)
                words = [os.fsencode(word) for word in argv]
                variables = {os.fsencode(name): os.fsencode(value) for name, value in environ.items()}
                os._exit(program.ended(words[0], lambda: self.modules[argv[0]].main(words, variables)))
            finally:
                os._exit(99)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Player:
    """Plays cases on one side."""

    def __init__(self, side: Side) -> None:
        self.run, self.place = side.run, side.place

    def take(self, name: str) -> bytes | None:
        path = self.place / name
        if not path.exists():
            return None
        content = path.read_bytes()
        path.unlink()
        return content

    def compiled(self, program: str, text: str) -> list[object]:
        code, _, _ = self.run(program, "new", "tmp", text=text.encode())
        new = self.take("new")
        if new is not None and program == "setforward":
            return [code, sorted(map(repr, cdb.records(new)))]
        return [code, repr(new)]

    def printed(self, program: str, data: bytes) -> list[object]:
        code, out, _ = self.run(program, text=data)
        return [code, repr(out) if code == 0 else ""]

    def aliases(self, text: str) -> list[object]:
        Path("/etc/aliases").write_text(text)
        code, _, _ = self.run("newaliases")
        new = Path("/etc/aliases.cdb")
        found: set[str] = set()
        if new.exists():
            found = {repr((key, sorted(value.split(b"\0")))) for key, value in cdb.records(new.read_bytes())}
            new.unlink()
        return [code, sorted(found)]

    def included(self, text: str) -> list[object]:
        (self.place / "list").write_text(text)
        code, _, _ = self.run("newinclude", "list")
        new = self.take("list.bin")
        return [code, new is not None and sorted(map(repr, new.split(b"\0")))]

    def sent(self, *argv: str, **more: str) -> list[object]:
        code, out, _ = self.run(*argv, text=MESSAGE, **more)
        message = self.take("../home/message")
        sender, *recipients = (self.take("../home/envelope") or b"").split(b"\0")
        return [code, repr(out), repr(message), repr(sender), sorted(map(repr, recipients))]

    def shown(self, *argv: str, **more: str) -> list[object]:
        code, out, words = self.run(*argv, **more)
        return [code, "" if code else sorted((out + words).decode().splitlines())]


def results(side: Player) -> dict[str, object]:
    """What came of each case, by a name that says which it is."""
    found: dict[str, object] = {f"setforward {text[:60]!r}": side.compiled("setforward", text) for text in TABLES}
    found |= {f"setmaillist {text[:60]!r}": side.compiled("setmaillist", text) for text in LISTS}
    found |= {f"printmaillist {text!r}": side.printed("printmaillist", text.encode()) for text in BINARY}
    found |= {f"newaliases {text[:60]!r}": side.aliases(text) for text in ALIASES}
    found |= {f"newinclude {text[:60]!r}": side.included(text) for text in INCLUDES}
    side.run("setforward", "table.cdb", "tmp", text=TABLE.encode())
    table = (side.place / "table.cdb").read_bytes()
    for cut in (len(table), len(table) - 1, 2060, 1000, 0):
        found[f"printforward {cut - len(table)}"] = side.printed("printforward", table[:cut])
    for name, text in FILES.items():
        (side.place / name).write_text(text)
        (side.place / name).chmod(0o600 if name == "private.bin" else 0o644)
    (side.place / "dir.bin").mkdir()
    for recipient in RECIPIENTS:
        found[f"fastforward -n {recipient}"] = side.shown("fastforward", "-n", "table.cdb", RECIPIENT=recipient)
        found[f"fastforward {recipient}"] = side.sent("fastforward", "table.cdb", RECIPIENT=recipient)
    for sender in ("", "#@[]"):
        found[f"fastforward own@h from {sender}"] = side.sent(
            "fastforward", "table.cdb", RECIPIENT="own@h", SENDER=sender
        )
    for words, more in (
        (["-p"], {"RECIPIENT": "own@h"}), (["-p"], {"RECIPIENT": "nobody@h"}), (["-pP"], {"RECIPIENT": "nobody@h"}),
        (["-d"], {"DEFAULT": "own", "EXT": "x"}), (["-d"], {"EXT": "own"}), (["-d"], {}), ([], {}),
        (["-dD"], {"RECIPIENT": "own@h", "DEFAULT": "x"}), (["-x"], {}), (["-nN"], {"RECIPIENT": "own@h"}),
    ):  # fmt: skip
        found[f"fastforward {words} {more}"] = side.sent("fastforward", *words, "table.cdb", **more)
    found["fastforward without a database"] = side.sent("fastforward", "none", RECIPIENT="own@h")
    found["fastforward without arguments"] = side.sent("fastforward")
    for text in FORWARDS:
        (side.place / ".forward").write_text(text)
        found[f"dot-forward -n {text!r}"] = side.shown("dot-forward", "-n", "none", ".forward")
        found[f"dot-forward {text!r}"] = side.sent("dot-forward", "none", ".forward")
    return found


def main(who: str, place: str) -> int:
    home, work = Path(place) / "home", Path(place) / "work"
    for directory in (home / "control", home / "bin", home / "alias", work):
        directory.mkdir(parents=True)
    for name, text in CONTROL.items():
        (home / "control" / name).write_text(text + "\n")
    (home / "bin/qmail-queue").write_text(QUEUE)
    (home / "bin/qmail-queue").chmod(0o755)
    (home / "bin/preline").symlink_to(Path(__file__).resolve().parent.parent.parent / "bin/preline")
    (home / "alias/.qmail-default").write_text("| fastforward -d /etc/aliases.cdb\n")
    for command in ("mount -t tmpfs none /var/lib", "mkdir /var/lib/qmail", f"mount --bind {home} /var/lib/qmail"):
        subprocess.run(command.split(), check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", "/etc"], check=True)
    os.chdir(place)
    json.dump(results(Player({"ours": Ours, "originals": Side}[who](work))), sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
