"""qmail: one command for people, in front of the programs that a person runs.

Usage: qmail
       qmail COMMAND [ARGUMENT...]

    qmail
    qmail showctl

`qmail COMMAND` is the program `qmail-COMMAND` of this installation, said in two
words. `qmail` alone lists the commands, each with what it is; `qmail COMMAND
--help` is its manual.

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
FOLDER = "qmail.programs.administer."


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    commands = {
        name.removeprefix(PREFIX): module
        for name, module in catalogue.programs().items()
        if name.startswith(PREFIX) and module.startswith(FOLDER)
    }
    if len(argv) < 2:
        program.say(1, _list(commands))
        return 0
    word = os.fsdecode(argv[1])
    if word not in commands:
        raise Usage(b"qmail: there is no command " + argv[1] + b"; 'qmail' alone lists them")
    __import__(commands[word])
    module = sys.modules[commands[word]]
    if argv[2:] == [b"--help"]:
        program.say(1, (module.__doc__ or "").strip().encode() + b"\n")
        return 0
    name = os.path.join(os.path.dirname(argv[0]), b"qmail-" + argv[1])
    code = module.main([name, *argv[2:]], environ)
    assert isinstance(code, int)
    return code


def _list(commands: dict[str, str]) -> bytes:
    width = max(map(len, commands), default=0)
    lines = ["qmail COMMAND [ARGUMENT...], where COMMAND is one of", ""]
    lines += [f"  {word:{width}}  {_what(module)}" for word, module in sorted(commands.items())]
    return "\n".join([*lines, "", "'qmail COMMAND --help' says more."]).encode() + b"\n"


def _what(module: str) -> str:
    """The first line of a module, behind its name; the module is not run."""
    import qmail

    path = os.path.join(os.path.dirname(qmail.__file__), *module.split(".")[1:]) + ".py"
    with open(path, encoding="utf-8") as file:
        text = ast.get_docstring(ast.parse(file.read())) or ""
    return text.partition("\n")[0].partition(": ")[2]
