"""Resident or not must not be visible: qmail-local's recorded cases through qmail-lspawn's workers.

`test_reference` plays the same cases with the program itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import resident
from conftest import BIN, SHARED, needs_root

RECORDED = SHARED / "vectors/qmail/cases/qmail-local.json"
CASES = json.loads(RECORDED.read_text()) if RECORDED.exists() else []


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from qmail.stores.installation import create

    home = tmp_path_factory.mktemp("vectors")
    for directory in (home, *home.parents):
        if "pytest-of-" in str(directory):
            directory.chmod(0o755)
    create(str(home / "q").encode())
    (home / "q/bin").rmdir()
    (home / "q/bin").symlink_to(BIN)
    player = resident.engine(SHARED).Player(str(home / "q"), str(BIN))
    player.alias = str(home / "q/alias")  # these cases need nothing of user alias, and nothing of theirs is touched
    yield player


def seen(player: Any, case: Any) -> Any:
    return resident.without_names(json.loads(json.dumps(player.play(case))))


THROUGH = [(case, through) for case in CASES if (through := resident.through_lspawn(case)) is not None]


@needs_root
@pytest.mark.parametrize(("case", "through"), THROUGH, ids=[case["id"] for case, _ in THROUGH])
def test_a_worker_does_what_the_program_was_seen_to_do(player: Any, case: Any, through: Any) -> None:
    expected = resident.without_names(case["expect"])
    assert resident.folded(seen(player, through)) == resident.as_report(expected)
