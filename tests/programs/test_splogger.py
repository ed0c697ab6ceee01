"""splogger: what reaches a syslog that listens at /dev/log, in a mount name space of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from conftest import BIN, needs_root

# A /dev of its own with nothing in it but null, urandom and the log's socket.
INSIDE = """
import json, os, socket, subprocess, sys
devices = {name: os.open("/dev/" + name, os.O_PATH) for name in ("null", "urandom")}
subprocess.run(["mount", "-t", "tmpfs", "none", "/dev"], check=True)
for name, descriptor in devices.items():
    open("/dev/" + name, "w").close()
    subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}/fd/{descriptor}", "/dev/" + name], check=True)
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
log.setblocking(False)
os.chmod("/dev/log", 0o666)
found = []
for words, text in json.load(sys.stdin):
    subprocess.run([sys.argv[1], *words], input=text.encode("latin-1"), check=True, timeout=60)
    entries = []
    while True:
        try:
            entries.append(log.recv(65536).decode())
        except BlockingIOError:
            break
    found.append(entries)
json.dump(found, sys.stdout)
"""
ENTRY = re.compile(r"<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d (.*?): (\d{10}\.\d{6})([ +])(.*)")


def logged(*runs: tuple[list[str], str]) -> list[list[tuple[str, ...]]]:
    """For each run, words and input: (priority, tag, mark, text) of its entries."""
    argv = ["unshare", "-m", sys.executable, "-c", INSIDE, str(BIN / "splogger")]
    done = subprocess.run(argv, input=json.dumps(runs), capture_output=True, text=True, timeout=100, check=True)
    entries = [[ENTRY.fullmatch(entry) for entry in found] for found in json.loads(done.stdout)]
    return [[tuple(each.group(1, 2, 4, 5)) if each else () for each in found] for found in entries]


@needs_root
def test_each_line_is_an_entry_as_urgent_as_it_says() -> None:
    plain, named, facility, odd = logged(
        ([], "hello\nwarning: disk\nalert: oh no\nALERT: calm\n\nlast"),
        (["tag"], "a\tb\x01\xe4c\n"),
        (["tag", "3"], "x\n"),
        (["tag", "1x"], "x\n"),
    )
    assert plain == [
        ("22", "splogger", " ", "hello"), ("20", "splogger", " ", "warning: disk"),
        ("17", "splogger", " ", "alert: oh no"), ("22", "splogger", " ", "ALERT: calm"),
        ("22", "splogger", " ", "last"),
    ]  # fmt: skip
    assert named == [("22", "tag", " ", "a?b??c")]
    assert (facility, odd) == ([("30", "tag", " ", "x")], [("14", "tag", " ", "x")])


@needs_root
def test_a_long_line_goes_on_in_entries_as_urgent_as_the_first() -> None:
    whole, cut, urgent = logged(
        (["t"], "x" * 799 + "\n"), (["t"], "x" * 1600 + "\ny\n"), (["t"], "alert: " + "x" * 800 + "\n")
    )
    assert [(mark, len(text)) for _, _, mark, text in whole] == [(" ", 799)]
    assert [(mark, len(text)) for _, _, mark, text in cut] == [(" ", 799), ("+", 799), ("+", 2), (" ", 1)]
    assert [(priority, mark, len(text)) for priority, _, mark, text in urgent] == [("17", " ", 799), ("17", "+", 8)]
