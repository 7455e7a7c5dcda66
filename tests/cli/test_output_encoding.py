"""Names that stdout cannot encode, as in a locale that is not UTF-8, are escaped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imindex.indexer.build.build import build
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.sources.find import find
from tests.support.builds import Counting


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_any_name_is_printed_in_any_locale(
    works: Callable, tiny_encoder: Encoder, tmp_path: Path, encoding: str
) -> None:
    build(list(find([works({"works/Ада Пример": 1})])), tmp_path / "i.h5", Counting(tiny_encoder))
    result = subprocess.run(
        [sys.executable, "-m", "imindex", "info", "--artists", "-i", tmp_path / "i.h5"],
        capture_output=True,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    written = (rb"\u0410\u0434\u0430", "Ада".encode())  # click writes UTF-8 where Python would write ASCII
    assert any(name in result.stdout for name in written) and b"defect" not in result.stderr
