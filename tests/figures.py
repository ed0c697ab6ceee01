"""The figures of the proofs: one line of JSON for each proof that ran, for the command that makes docs/promise.md.

Where the variable PYQMAIL_FIGURES names a file, `record` appends one object to it; where it is not set, nothing is
written. Several processes may append to one file at a time. A proof that fails records nothing.

Every object has

    proof      what was proved: one of `PROOFS`
    seconds    how long it took

and, where the proof has them,

    model      "kill", "ext4", "ext4 on two disks", "strict", or the name of a real file system
    workload   what the system did meanwhile
    total      how many states, calls, cuts, inputs there are
    run        how many of them were looked at this time
    restarted  from how many of them the real programs were started again
    lost, damaged, orphans, wrong
               messages lost; torn or changed; files of no message; messages for somebody whom their envelope did not
               name. A proof that passes has 0 in each
    duplicates an object: window to number of states in which a message is there twice
    accepted   messages acknowledged
    seed       that of the random choices
    program, error
               of a proof about failing calls: whose calls, and what they returned

Other numbers may stand beside them; a reader ignores those that it does not know. A proof may have several lines, one
a model, workload, program or error; the last of equal ones counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

VARIABLE = "PYQMAIL_FIGURES"
PROOFS = {
    "acceptance": "every state of the disk while messages are accepted",
    "system": "every state of the disk while a whole system works",
    "mailboxes": "every state of the disk while qmail-local delivers to a Maildir or an mbox",
    "syncs": "each sync is taken out in turn, and missed",
    "faults": "every call of a program fails once, or is its last one",
    "power cuts": "a real file system is shut down under load",
    "fuzzing": "parsers get what nobody foresaw",
    "import": "every state of the disk while a queue is imported",
    "soak": "a loaded system whose processes are killed",
}
Value = str | int | float | Mapping[str, int] | None


def record(proof: str, **numbers: Value) -> None:
    """Append the figures of one proof."""
    assert proof in PROOFS, proof
    path = os.environ.get(VARIABLE)
    if not path:
        return
    line = json.dumps({"proof": proof, **numbers}, default=dict) + "\n"
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    # One write: lines of processes that append at the same time stand one after the other.
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
