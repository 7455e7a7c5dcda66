"""The API keeps the promises of its own OpenAPI document: schemathesis asks it what a schema allows, and more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.demo.artists import NAMES
from tests.support.browser import serving

schemathesis = pytest.importorskip("schemathesis")
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
)  # fmt: skip


def with_values(document: dict[str, Any], known: dict[str, list[Any]]) -> dict[str, Any]:
    """Name values that exist for parameters, so that requests reach what is behind them."""
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in known and parameter["in"] == "path":
                    parameter["schema"] = {"enum": known[parameter["name"]]}
    return document


@pytest.mark.parametrize("examples", [12, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("real", [True, False], ids=["real names", "any names"])
def test_no_request_breaks_it(audited: Path, examples: int, real: bool, tmp_path: Path) -> None:
    with serving("--audit", audited, "--device", "cpu", "--max-upload", "1") as service:
        document = json.loads(service.get("/api/v1/openapi.json")[1])
        if real:
            index = json.loads(service.get("/api/v1/indexes")[1])["indexes"][0]["id"]
            known = {"index": [index], "audit": ["plan-audit"], "row": [0, 5, 40, 10**6], "artist": [NAMES[0], "inv 1"],
                     "name": ["report.json", "artists.csv", "register.jsonl"]}  # fmt: skip
            document = with_values(document, known)
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", str(tmp_path / "openapi.json"),
            "--url", service.url, "--checks", ",".join(CHECKS), "--max-examples", str(examples), "--seed", "1",
            "--phases", "fuzzing", "--generation-database", "none",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert service.get("/readyz")[0] == 200 and "Traceback" not in service.log.read_text()


def test_the_document_names_every_answer(drawn: Path) -> None:
    with serving("-i", drawn / "audit.h5", "--device", "cpu") as service:
        document = json.loads(service.get("/api/v1/openapi.json")[1])
    ids = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids)) >= 20
    text = json.dumps(document)
    names = set(document["components"]["schemas"])
    assert {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]} <= names
