"""Start the process that forks a child for every run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.crashing import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as started:
        yield started
