"""Folders of vision towers that name code of their own: whatever file names it, it never runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.load import load
from tests.support.hostile_models import code, save_zip, write_json
from tests.support.vision_towers import save_dual

MAPS = {
    "config.json": {"AutoConfig": "evil.EvilConfig", "AutoModel": "evil.EvilModel"},
    "preprocessor_config.json": {"AutoImageProcessor": "evil.Evil"},
    "tokenizer_config.json": {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]},
}
"""The key `auto_map` of each file."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = save_dual(tmp_path / "clip", "clip")
    (made / "evil.py").write_text(code(tmp_path / "ran"))
    return made


@pytest.mark.parametrize("trusting", [False, True])
@pytest.mark.parametrize("file", MAPS)
def test_code_in_a_folder_does_not_run(
    file: str, trusting: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the file says that the code may be trusted, and the folder is the current one."""
    monkeypatch.chdir(folder)
    content = json.loads((folder / file).read_text())
    more = {"trust_remote_code": True} if trusting else {}
    write_json(folder / file, {**content, **more, "auto_map": MAPS[file]})
    if file == "tokenizer_config.json":  # its class is known, so that of the folder has no part
        assert load(f"transformers:{folder}", device="cpu").has_text
    else:
        with pytest.raises(ImindexError, match=r"brings code of its own \(auto_map"):
            load(f"transformers:{folder}", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_the_folders_own_class_does_not_run(folder: Path, tmp_path: Path) -> None:
    settings = {"tokenizer_class": "EvilTokenizer", "auto_map": MAPS["tokenizer_config.json"]}
    write_json(folder / "tokenizer_config.json", settings)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ImindexError, match=r"tokenizer of .* cannot be loaded|run code of its own"):
        load(f"transformers:{folder}", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_pickle_is_not_looked_for(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    save_zip(tmp_path / "ran", folder / "pytorch_model.bin")
    with pytest.raises(ImindexError, match=r"has no model\.safetensors"):
        load(f"transformers:{folder}", device="cpu")
    assert not (tmp_path / "ran").exists()
