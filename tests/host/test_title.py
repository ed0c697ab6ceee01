"""What ps shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conftest import TOP, needs_root

PROGRAM = """
import os, sys
sys.path.insert(0, {src!r})
from qmail.host import title
def seen(pid="self"):
    return [open(f"/proc/{{pid}}/cmdline", "rb").read().rstrip(b"\\0"), open(f"/proc/{{pid}}/comm", "rb").read()]
{body}
"""


def said(body: str) -> str:
    text = PROGRAM.format(src=str(TOP / "src"), body=body)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("count", [1, 300])
def test_a_title_may_be_longer_than_the_arguments_were(count: int) -> None:
    body = f'title.show(b"qmail-remote", *[b"word"] * {count})\nprint(seen()[0].replace(b"\\0", b" ").count(b" word"))'
    assert 1 <= int(said(body)) <= count
    assert int(said(body)) > min(count, 100) - 1


def test_a_shorter_title_leaves_nothing_of_the_longer_one() -> None:
    body = 'title.show(b"/bin/qmail-rspawn", b"long" * 5)\ntitle.show(b"/bin/qmail-rspawn")\nprint(seen())'
    assert said(body) == "[b'/bin/qmail-rspawn', b'qmail-rspawn\\n']\n"


def test_a_forked_process_changes_its_own_title_only() -> None:
    body = (
        'title.show(b"parent")\n'
        "if not os.fork():\n"
        '    title.show(b"child")\n'
        "    print(seen()[0], seen(os.getppid())[0], flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    assert said(body) == "b'child' b'parent'\n"


@needs_root
def test_a_process_forked_after_root_was_given_up_has_a_title_too() -> None:
    body = (
        "title.prepare()\n"
        "os.setgid(65534)\n"
        "os.setuid(65534)\n"
        "if not os.fork():\n"
        '    title.show(b"/bin/child", b"word")\n'
        "    print(seen(), seen(os.getppid())[1], flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()"
    )
    name = f"{sys.executable.rpartition('/')[2][:15]}\n".encode()
    assert said(body) == f"[b'/bin/child\\x00word', b'child\\n'] {name!r}\n"
