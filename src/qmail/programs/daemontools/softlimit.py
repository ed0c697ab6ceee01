"""softlimit: run a program with other resource limits.

A limit on memory keeps one greedy process from taking the whole machine down.

Usage: softlimit [OPTION...] PROGRAM [ARGUMENT...]

    softlimit -m 100000000 -o 200 qmail-smtpd

Each option takes a number, or `=` for as much as the hard limit allows:

    -a BYTES  all memory together            -d BYTES  the data segment
    -s BYTES  the stack                      -l BYTES  locked pages
    -m BYTES  the same as -d -s -l and -a    -r BYTES  resident pages
    -f BYTES  size of files it writes        -c BYTES  size of core files
    -o NUMBER open files                     -t SECONDS  of CPU time
    -p NUMBER processes of this user

Behaviour:
Only soft limits change: PROGRAM may raise them again, up to the hard limit. A
number above the hard limit counts as the hard limit. Of two options for the
same limit the later one counts. Where a limit is smaller than what the start of
PROGRAM needs, PROGRAM fails: programs of this package need 15 MB with -a or -m
to start at all. Numbers are decimal; what is no number is a usage error.
PROGRAM takes the place of softlimit.

Environment: PATH, to find PROGRAM.
Runs as: anybody.
Exit codes: 100 usage; 111 a limit cannot be set, or PROGRAM cannot be run; else
    those of PROGRAM.
"""

from __future__ import annotations

import resource

from qmail.formats.options import Wrong, options
from qmail.formats.verdict import Temporary, Usage
from qmail.host import execute, program
from qmail.host.reasons import reason

USAGE = (
    b"softlimit: usage: softlimit [-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] [-l lockbytes] "
    b"[-m membytes] [-o openfiles] [-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] child"
)
LIMITS = {
    b"a": (resource.RLIMIT_AS,),
    b"c": (resource.RLIMIT_CORE,),
    b"d": (resource.RLIMIT_DATA,),
    b"f": (resource.RLIMIT_FSIZE,),
    b"l": (resource.RLIMIT_MEMLOCK,),
    b"m": (resource.RLIMIT_DATA, resource.RLIMIT_STACK, resource.RLIMIT_MEMLOCK, resource.RLIMIT_AS),
    b"o": (resource.RLIMIT_NOFILE,),
    b"p": (resource.RLIMIT_NPROC,),
    b"r": (resource.RLIMIT_RSS,),
    b"s": (resource.RLIMIT_STACK,),
    b"t": (resource.RLIMIT_CPU,),
}
LARGEST = (1 << 63) - 1  # the kernel knows no larger number but infinity


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    try:
        found, words = options(argv[1:], b":".join((*LIMITS, b"")))
    except Wrong as wrong:
        program.say(2, b"softlimit: " + wrong.text + b"\n")
        raise Usage(USAGE) from None
    wanted = {limit: _number(argument) for letter, argument in found for limit in LIMITS[letter]}
    if not words:
        raise Usage(USAGE)
    # All at once, and last: with a small limit nothing else could be done.
    for limit, number in wanted.items():
        try:
            hard = resource.getrlimit(limit)[1]
            most = LARGEST if hard == resource.RLIM_INFINITY else hard
            soft = hard if number is None or number > most else number
            resource.setrlimit(limit, (soft, hard))
        except (OSError, ValueError) as error:
            raise Temporary(b"setrlimit failed: " + str(error).encode()) from None
    try:
        execute.replace(words, environ)
    except OSError as error:
        raise Temporary(b"unable to run " + words[0] + b": " + reason(error)) from None


def _number(argument: bytes) -> int | None:
    # None: the hard limit.
    if argument == b"=":
        return None
    if argument.strip(b"0123456789"):
        raise Usage(USAGE)
    return int(argument[:40] or b"0")
