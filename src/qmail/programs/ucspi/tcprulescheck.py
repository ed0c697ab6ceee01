"""tcprulescheck: say what compiled rules would have tcpserver do.

For trying rules out before clients do.

Usage: tcprulescheck [-v] CDB

    $ TCPREMOTEIP=10.1.2.3 tcprulescheck /etc/tcp.smtp.cdb
    rule 10.:
    set environment variable RELAYCLIENT=
    allow connection

    -v  add a sentence on why it was this rule: what was looked up before in vain

The client is described by TCPREMOTEIP (0.0.0.0 where it is not set), TCPREMOTEHOST
and TCPREMOTEINFO.

Behaviour:
Printed are the rule that decides (`default:` where none fits), the variables it
sets, and the decision. An unset TCPREMOTEHOST or TCPREMOTEINFO is one that
tcpserver does not know (-H, -R); an empty one is another client. See tcprules
for the order of look-up.

Environment: TCPREMOTEIP, TCPREMOTEHOST, TCPREMOTEINFO.
Runs as: whoever may read CDB.
Exit codes: 0 whatever the decision is; 100 usage; 111 CDB cannot be read.
"""

from __future__ import annotations

from qmail.formats import tcprules
from qmail.formats.verdict import Temporary, Usage
from qmail.host.program import line, say
from qmail.host.reasons import reason
from qmail.stores.rules import RulesFile

USAGE = b"tcprulescheck: usage: tcprulescheck rules.cdb"


def main(argv: list[bytes], environ: dict[bytes, bytes]) -> int:
    """Run as described above."""
    words = argv[1:]
    explain = words[:1] == [b"-v"]
    if explain:
        del words[0]
    if not words:
        raise Usage(USAGE)
    address = environ.get(b"TCPREMOTEIP", b"0.0.0.0")
    host, info = environ.get(b"TCPREMOTEHOST"), environ.get(b"TCPREMOTEINFO")
    rules = RulesFile(words[0])
    try:
        decision = rules.decide(address, host, info)
        tried = list(tcprules.keys(address, host, info, rules.lengths)) if explain else []
    except OSError as error:
        raise Temporary(b"unable to read " + words[0] + b": " + reason(error)) from error
    text = [b"default:" if decision.key is None else b"rule " + decision.key + b":"]
    text += [b"set environment variable " + variable for variable in decision.variables]
    text.append(b"deny connection" if decision.denied else b"allow connection")
    if explain:
        text.append(_why(decision.key, tried))
    say(1, b"".join(line(each) for each in text))
    return 0


def _why(key: bytes | None, tried: list[bytes]) -> bytes:
    def named(each: bytes) -> bytes:
        return each or b"the empty address"

    if key is None:
        return b"no rule fits, and then tcpserver allows; there is none for " + b", ".join(map(named, tried))
    before = tried[: tried.index(key)]
    if not before:
        return b"the rule for " + named(key) + b" decides: nothing is looked up before it"
    return b"the rule for " + named(key) + b" decides: there is none for " + b", ".join(map(named, before))
