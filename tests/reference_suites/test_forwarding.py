"""fastforward with its compilers, and dot-forward, say the same as the originals that Debian has.

What comes out otherwise is named here, and the reason in docs/differences.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import needs_root

DRIVER = Path(__file__).with_name("forwarding.py")
DIFFERENT = {
    # A program behind a bar but outside of quotes, a target that is none, a last line without its end, a quoted
    # :include:, an owner in capitals.
    "newaliases 'a: |\"prog arg\"\\n'", "newaliases '|x: b@c.d\\n'", "newaliases 'a: b@c.d'",
    "newaliases 'a: \":include:/x\"\\n'", "newaliases 'OWNER-L: o@x.y\\nL: a@b.c\\n'",
    # Source routes and final dots, as qmail-inject does it.
    "newaliases 'a: <@r1,@r2:b@x.y>\\n'", "newaliases 'a: b@c.d.\\n'", "dot-forward '<@r,@s:bob@c.d>\\n'",
    # Lists within lists; a database that is cut short; lists that are damaged.
    "newinclude ':include:/a, c@d.e\\n'", "printforward -1",
    "fastforward -n bad@h", "fastforward bad@h", "fastforward -n cut@h", "fastforward cut@h",
    # Circles; programs that exit 99.
    "fastforward -n self@h", "fastforward self@h", "fastforward -n s1@h", "fastforward s1@h", "fastforward x99@h",
    "dot-forward '\"|exit 99\"\\nbob\\n'",
}  # fmt: skip

pytestmark = [
    needs_root,
    pytest.mark.skipif(not Path("/usr/sbin/qmail-newaliases").exists(), reason="needs Debian's fastforward"),
    pytest.mark.skipif(not Path("/usr/bin/dot-forward").exists(), reason="needs Debian's dot-forward"),
    pytest.mark.prove,
    pytest.mark.xdist_group("suites"),
]


def test_our_programs_do_what_the_originals_do(tmp_path: Path) -> None:
    running = {}
    for side in ("originals", "ours"):
        (tmp_path / side).mkdir()
        command = ["unshare", "-m", sys.executable, str(DRIVER), side, str(tmp_path / side)]
        running[side] = subprocess.Popen(command, stdout=subprocess.PIPE)
    found = {}
    for side, process in running.items():
        out, _ = process.communicate(timeout=100)
        assert process.returncode == 0, side
        found[side] = json.loads(out)
    originals, ours = found["originals"], found["ours"]
    assert originals.keys() == ours.keys() and len(originals) > 250
    differing = {name for name in originals if originals[name] != ours[name]}
    assert differing == DIFFERENT, "\n".join(
        f"{name}\n  {originals.get(name)}\n  {ours.get(name)}" for name in sorted(differing ^ DIFFERENT)
    )
