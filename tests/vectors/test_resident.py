"""Resident or not must not be visible: qmail-local's recorded cases, by exec and through qmail-lspawn's workers."""

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


@needs_root
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_qmail_local_does_the_same_as_a_program_and_as_a_worker(player: Any, case: Any) -> None:
    expected = resident.without_names(case["expect"])
    assert seen(player, case) == expected
    through = resident.through_lspawn(case)
    if through is not None:
        assert resident.folded(seen(player, through)) == resident.as_report(expected)
