"""Pipelines and LoRAs from strangers: nothing that comes with one is run, whatever in it asks for that."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import safetensors.torch
import torch
from diffusers.pipelines import pipeline_utils

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.components import MOST_RANK, check_lora
from imindex.indexer.system.foreign_code import ForeignCode, no_foreign_code
from tests.support import hostile_models
from tests.support.hostile_models import PICKLES, code, lora_file, write_json

Change = Callable[[Path, Path], None]


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a model's code creates. Every question at the terminal is answered yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "the code ran"


@pytest.fixture
def evil(model: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of a pipeline with a safety checker, to be made hostile."""
    return Path(shutil.copytree(model("sd-checked"), tmp_path / "evil copy"))


def edit(file: Path, **changes: Any) -> None:
    write_json(file, {**(json.loads(file.read_text()) if file.exists() else {}), **changes})


def component(name: str, library: object, kind: object, *, module: str = "") -> Change:
    """The index names another library or class for a component, and the folder may hold a module."""

    def change(folder: Path, mark: Path) -> None:
        edit(folder / "model_index.json", **{name: [library, kind]})
        if module:
            (folder / module).parent.mkdir(parents=True, exist_ok=True)
            (folder / module).write_text(code(mark))

    return change


def custom_pipeline(folder: Path, mark: Path) -> None:
    (folder / "pipeline.py").write_text(code(mark))
    edit(folder / "model_index.json", _class_name=["pipeline", "Pipeline"])


def pipeline_named_none(folder: Path, mark: Path) -> None:
    """diffusers looks for the module of a custom pipeline, whose name is None by default."""
    (folder / "None.py").write_text(code(mark))


def module_in_component(folder: Path, mark: Path) -> None:
    (folder / "unet" / "diffusers.py").write_text(code(mark))


def pickled(name: str, file: str, save: Callable[[Path, Path], None]) -> Change:
    def change(folder: Path, mark: Path) -> None:
        for weights in (folder / name).glob("*.safetensors"):
            weights.unlink()
        save(mark, folder / name / file)

    return change


def shards(target: str) -> Change:
    """The weights are listed as pieces, one of which is a pickle or lies elsewhere."""

    def change(folder: Path, mark: Path) -> None:
        (weights,) = (folder / "unet").glob("*.safetensors")
        keys = list(safetensors.torch.load_file(weights))
        weights.unlink()
        hostile_models.save_zip(mark, folder / "unet" / "piece.bin")
        hostile_models.save_zip(mark, folder / "piece.safetensors")
        listing = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(keys, target)}
        write_json(folder / "unet" / "diffusion_pytorch_model.safetensors.index.json", listing)

    return change


def config(name: str, **values: Any) -> Change:
    def change(folder: Path, mark: Path) -> None:
        edit(folder / name / "config.json", **values)

    return change


def scheduler(**values: Any) -> Change:
    return lambda folder, mark: edit(folder / "scheduler" / "scheduler_config.json", **values)


def adapter(folder: Path, mark: Path) -> None:
    base = {"peft_type": "LORA", "base_model_name_or_path": "nobody/nothing"}
    write_json(folder / "text_encoder" / "adapter_config.json", base)


def nested(folder: Path, mark: Path) -> None:
    (folder / "model_index.json").write_text("[" * 100_000)


def not_a_mapping(folder: Path, mark: Path) -> None:
    write_json(folder / "model_index.json", ["StableDiffusionPipeline"])


CHANGES: dict[str, Change] = {
    "a custom pipeline": custom_pipeline,
    "a pipeline named None": pipeline_named_none,
    "a module in a component": module_in_component,
    "a module of the component": component("unet", "evil", "EvilModel", module="unet/evil.py"),
    "a module beside the index": component("unet", "evil", "EvilModel", module="evil.py"),
    "subprocess": component("unet", "subprocess", "Popen"),
    "os": component("scheduler", "os", "system"),
    "builtins": component("tokenizer", "builtins", "eval"),
    "a module of the installation": component("unet", "idlelib.idle", "main"),
    "a module of tests": component("unet", "tests.support.hostile_models", "Touch"),
    "imindex": component("unet", "imindex.indexer.system.child_process", "Child"),
    "a function of transformers": component("text_encoder", "transformers", "pipeline"),
    "a model class by name": component("text_encoder", "transformers", "AutoModel"),
    "a pipeline as component": component("unet", "diffusers", "StableDiffusionPipeline"),
    "ONNX": component("unet", "diffusers", "OnnxRuntimeModel"),
    "a submodule of diffusers": component("unet", "diffusers.utils", "import_utils"),
    "pipelines.os": component("unet", "pipelines", "os"),
    "a library that is a list": component("unet", ["os"], "system"),
    "a class that is a number": component("unet", "diffusers", 3),
    "a list of three": lambda folder, _: edit(folder / "model_index.json", unet=["diffusers", "UNet2DModel", 1]),
    "a component elsewhere": component("../elsewhere", "diffusers", "UNet2DConditionModel"),
    "a scheduler that is a function": component("scheduler", "diffusers", "logging"),
    "a scheduler that is a pipeline": component("scheduler", "diffusers", "DiffusionPipeline"),
    "a scheduler of a module": component("scheduler", "evil", "Evil", module="scheduler/evil.py"),
    "a scheduler with endless steps": scheduler(num_train_timesteps=10**12),
    "a scheduler with no steps": scheduler(num_train_timesteps="1000"),
    "a kernel": config("text_encoder", attn_implementation="evil/kernel"),
    "a kernel in a part": config("text_encoder", text_config={"_attn_implementation": "evil/kernel"}),
    "quantized by modelopt": config("unet", quantization_config={"quant_method": "modelopt"}),
    "quantized by nothing": config("unet", quantization_config=[]),
    "an adapter": adapter,
    "deep JSON": nested,
    "a list as index": not_a_mapping,
    "pieces that are pickles": shards("piece.bin"),
    "pieces that lie elsewhere": shards("../piece.safetensors"),
    "pieces that are numbers": shards(3),  # type: ignore[arg-type]
    **{
        f"{name} by {save.__name__}": pickled(name, file, save)
        for name, file in (
            ("unet", "diffusion_pytorch_model.bin"),
            ("unet", "diffusion_pytorch_model.safetensors"),
            ("vae", "diffusion_pytorch_model.bin"),
            ("text_encoder", "pytorch_model.bin"),
            ("safety_checker", "pytorch_model.bin"),
        )
        for save in PICKLES
    },
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_pipeline_runs_no_code_and_is_refused(
    change: str, evil: Path, mark: Path, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    CHANGES[change](evil, mark)
    monkeypatch.chdir(evil)  # a module beside the index could be imported from here
    monkeypatch.syspath_prepend(str(evil))
    with pytest.raises(ImindexError) as refused:
        make("out", model=str(evil))
    assert not mark.exists()
    assert str(evil) in str(refused.value)


def own_classes(name: str) -> Change:
    """Configurations that name classes of their own, for every loader that looks for such."""

    def change(folder: Path, mark: Path) -> None:
        part = folder / name
        names = ("AutoConfig", "AutoModel", "AutoImageProcessor", "AutoFeatureExtractor", "AutoProcessor")
        auto = {
            "auto_map": {**dict.fromkeys(names, "evil.Evil"), "AutoTokenizer": ["evil.Evil", "evil.Evil"]}
        }
        for file in part.glob("*.json"):
            content = json.loads(file.read_text())
            if isinstance(content, dict) and file.name.endswith("config.json"):
                write_json(file, {**content, **auto})
        (folder / "evil.py").write_text(code(mark))

    return change


@pytest.mark.parametrize(
    "name", ["tokenizer", "text_encoder", "unet", "vae", "scheduler", "safety_checker", "feature_extractor"]
)
def test_classes_of_the_library_take_the_place_of_a_components_own(
    name: str, evil: Path, mark: Path, make: Callable[..., Any]
) -> None:
    own_classes(name)(evil, mark)
    assert make("out", model=str(evil)).made > 0
    assert not mark.exists()


def test_scheduler_of_a_foreign_class_name_is_that_of_the_index(
    evil: Path, mark: Path, make: Callable[..., Any]
) -> None:
    """Only the class in the index counts, not the one in the scheduler's configuration."""
    scheduler(_class_name="evil.Evil", _diffusers_version="9")(evil, mark)
    assert make("out", model=str(evil)).made > 0 and not mark.exists()


def test_template_of_a_tokenizer_does_not_run(evil: Path, mark: Path, make: Callable[..., Any]) -> None:
    template = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    edit(evil / "tokenizer" / "tokenizer_config.json", chat_template=template)
    (evil / "tokenizer" / "chat_template.jinja").write_text(template)
    assert make("out", model=str(evil)).made > 0
    tokenizer = diffusers.StableDiffusionPipeline.from_pretrained(evil).tokenizer
    with pytest.raises(Exception, match="unsafe"):
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)


def test_single_checkpoints_are_not_read(mark: Path, tmp_path: Path, make: Callable[..., Any]) -> None:
    for name in ("model.safetensors", "model.ckpt", "model.gguf"):
        hostile_models.save_zip(mark, tmp_path / name)
        with pytest.raises(ImindexError, match=r"is a file\. Pass the folder of a diffusers pipeline"):
            make("out", model=str(tmp_path / name))
    assert not mark.exists()


def test_the_trap_of_a_custom_pipeline_works(evil: Path, mark: Path) -> None:
    """Without imindex this model does run its code, if it is trusted."""
    custom_pipeline(evil, mark)
    with contextlib.suppress(Exception):
        diffusers.DiffusionPipeline.from_pretrained(evil, trust_remote_code=True)
    assert mark.exists()


def test_the_second_wall_holds_alone(evil: Path, mark: Path) -> None:
    """Even if diffusers trusts it, and nothing is checked before."""
    for change in (custom_pipeline, CHANGES["a module of the component"]):
        change(evil, mark)
        with pytest.raises(ForeignCode), no_foreign_code(str(evil)):
            diffusers.DiffusionPipeline.from_pretrained(evil, trust_remote_code=True)
    assert not mark.exists()


def test_models_of_the_hub_are_under_the_same_rules(
    evil: Path, mark: Path, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(name: str, **options: Any) -> str:
        assert options["trust_remote_code"] is False and options["use_safetensors"] is True
        with contextlib.suppress(Exception):
            pipeline_utils.DiffusionPipeline.from_pretrained(evil, trust_remote_code=True)
        return str(evil)

    custom_pipeline(evil, mark)
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    with pytest.raises(ImindexError, match="code of its own"):
        make("out", model="nobody/nothing")
    assert not mark.exists()


# LoRA


@pytest.mark.parametrize("save", PICKLES)
@pytest.mark.parametrize("name", ["lora.safetensors", "lora.bin", "pytorch_lora_weights.safetensors"])
def test_pickled_lora_is_refused(
    save: Callable[[Path, Path], None], name: str, mark: Path, tmp_path: Path, make: Callable[..., Any]
) -> None:
    (tmp_path / "lora").mkdir()
    save(mark, tmp_path / "lora" / name)
    for lora in (tmp_path / "lora", tmp_path / "lora" / name):
        with pytest.raises(ImindexError, match="LoRA"):
            make("out", lora=str(lora))
    assert not mark.exists()


METADATA: dict[str, Any] = {
    "imports a module": {"unet.megatron_config": {"a": 1}, "unet.megatron_core": "evil"},
    "imports a module, without a prefix": {"megatron_config": {"a": 1}, "megatron_core": "evil"},
    "names classes": {"unet.auto_mapping": {"base_model_class": "Evil", "parent_library": "evil"}},
    "a huge rank": {"unet.r": 10**9},
    "a rank that is a text": {"unet.r": "2"},
    "a negative rank": {"unet.r": -1},
    "huge ranks": {"unet.r": 2, "unet.rank_pattern": {"to_q": 10**9}},
    "ranks that are a list": {"unet.rank_pattern": [4]},
    "layers copied": {"unet.layer_replication": [[0, 10**6]]},
    "a slow initialisation": {"unet.init_lora_weights": "pissa"},
    "an initialisation by data": {"unet.eva_config": {"rho": 2.0}},
    "a pattern": {"unet.target_modules": "(a+)+$"},
    "a list": [1],
    "a number": 3,
}


@pytest.mark.parametrize("fields", METADATA)
def test_configuration_of_a_lora_is_checked(fields: str, tmp_path: Path) -> None:
    file = lora_file(
        tmp_path / "lora.safetensors", metadata={"lora_adapter_metadata": json.dumps(METADATA[fields])}
    )
    with pytest.raises(ImindexError, match=r"The LoRA .*lora\.safetensors .* in its metadata\."):
        check_lora(file)


def test_broken_configuration_of_a_lora_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[" * 100_000, ""):
        file = lora_file(tmp_path / "lora.safetensors", metadata={"lora_adapter_metadata": text})
        with pytest.raises(ImindexError, match="something else than a JSON object"):
            check_lora(file)


def test_rank_of_a_lora_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ImindexError, match=f"has the rank {MOST_RANK + 1:,} in unet"):
        check_lora(lora_file(tmp_path / "lora.safetensors", rank=MOST_RANK + 1))


def test_loras_that_diffusers_writes_pass(tmp_path: Path) -> None:
    written = {
        "unet.r": 8, "unet.lora_alpha": 8, "unet.target_modules": ["to_q"], "unet.init_lora_weights": "gaussian",
        "unet.megatron_config": None, "unet.megatron_core": "megatron.core", "unet.auto_mapping": None,
        "unet.loftq_config": {}, "unet.rank_pattern": {"to_q": 4}, "unet.layer_replication": None,
        "unet.exclude_modules": None, "unet.modules_to_save": None, "unet.use_dora": False,
    }  # fmt: skip
    check_lora(lora_file(tmp_path / "lora.safetensors"))
    check_lora(
        lora_file(tmp_path / "other.safetensors", metadata={"lora_adapter_metadata": json.dumps(written)})
    )


def test_lora_without_a_known_key_is_refused(
    model: Callable[[str], Path], make: Callable[..., Any], tmp_path: Path
) -> None:
    safetensors.torch.save_file({"evil.weight": torch.zeros(2)}, tmp_path / "lora.safetensors")
    with pytest.raises(ImindexError, match="LoRA"):
        make("out", lora=str(tmp_path / "lora.safetensors"))
