"""qmail: one command for people, in front of the programs that a person runs.

Usage: qmail
       qmail COMMAND [ARGUMENT...]

    qmail
    qmail showctl
    qmail queue check

`qmail COMMAND` is the program `qmail-COMMAND` of this installation; a command of
two words, `qmail queue check`, is `qmail-queue-check`; and `qmail dns` is
`qmail-dns-records`. `qmail` alone lists the commands, each with what it is, `qmail
queue` those that begin so; `qmail COMMAND --help` is the manual of one.

Behaviour:
The programs of the mail's own path are not among the commands: those are started
by each other.

Runs as: you.
Exit codes: 100 there is no such command; else those of the command.
"""

from __future__ import annotations

import ast
import os
import sys

from qmail.formats.verdict import Usage
from qmail.host import program
from qmail.services import catalogue

PREFIX = "qmail-"
# Commands whose program has another name, since that one is taken by a program of the mail's own path.
OTHERWISE = {"dns-records": "dns"}
FOLDER = "qmail.programs.administer."


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    commands = {
        OTHERWISE.get(short := name.removeprefix(PREFIX), short): module
        for name, module in catalogue.programs().items()
        if name.startswith(PREFIX) and module.startswith(FOLDER)
    }
    words = [os.fsdecode(word) for word in argv[1:3] if word != b"--help"]
    count = next((n for n in (2, 1) if len(words) >= n and "-".join(words[:n]) in commands), 0)
    if not count:
        begun = {name: module for name, module in commands.items() if name.startswith("".join(f"{w}-" for w in words))}
        if not begun:
            raise Usage(b"qmail: there is no command " + b" ".join(argv[1:3]) + b"; 'qmail' alone lists them")
        program.say(1, _list(begun))
        return 0
    command = "-".join(words[:count])
    __import__(commands[command])
    module = sys.modules[commands[command]]
    rest = argv[1 + count :]
    if rest == [b"--help"]:
        program.say(1, (module.__doc__ or "").strip().encode() + b"\n")
        return 0
    program_name = next((name for name, short in OTHERWISE.items() if short == command), command)
    name = os.path.join(os.path.dirname(argv[0]), os.fsencode(PREFIX + program_name))
    code = module.main([name, *rest], environ)
    assert isinstance(code, int)
    return code


def _list(commands: dict[str, str]) -> bytes:
    width = max(map(len, commands), default=0)
    lines = ["qmail COMMAND [ARGUMENT...], where COMMAND is one of", ""]
    lines += [f"  {name.replace('-', ' '):{width}}  {_what(module)}" for name, module in sorted(commands.items())]
    return "\n".join([*lines, "", "'qmail COMMAND --help' says more."]).encode() + b"\n"


def _what(module: str) -> str:
    """The first line of a module, behind its name; the module is not run."""
    import qmail

    path = os.path.join(os.path.dirname(qmail.__file__), *module.split(".")[1:]) + ".py"
    with open(path, encoding="utf-8") as file:
        text = ast.get_docstring(ast.parse(file.read())) or ""
    return text.partition("\n")[0].partition(": ")[2]
