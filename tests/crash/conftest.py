"""The recordings, each made once for all proofs that look at it."""

from __future__ import annotations

import os

import pytest

from conftest import open_to_others
from crash import recording
from crash.recorded import Record
from crash.workloads import WORKLOADS


@pytest.fixture(
    scope="session", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in sorted(WORKLOADS)]
)
def record(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """One workload."""
    recording.check_available()
    if os.geteuid():
        pytest.skip("needs root, for separate users, small file systems and mount namespaces")
    return Record(request.param, open_to_others(tmp_path_factory.mktemp("record")))
