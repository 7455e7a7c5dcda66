"""Schedulers: those that read a pipeline's predictions otherwise are refused before anything is generated."""

from __future__ import annotations

import inspect
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.generate import ModelSettings, check, describe
from imindex.indexer.generate.scheduler_fit import DIFFUSION, FLOW, SCALED, family_of, fitting, misfit
from imindex.retrieval.audit.audit import audit
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.run import Compute, Run, Show, Workspace
from tests.support.audits import PLAN, draw

DEMO = Path(inspect.getfile(ImindexError)).parents[1] / "demo" / "diffusion" / "scheduler"
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
V = {"prediction_type": "v_prediction"}
SD, SDXL = diffusers.StableDiffusionPipeline, diffusers.StableDiffusionXLPipeline
SOLVERS = (
    "DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler",
    "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LCMScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
"""Schedulers that read the prediction type and the noise levels of Stable Diffusion."""
OTHERS = (
    "CMStochasticIterativeScheduler", "DDIMInverseScheduler", "DPMSolverMultistepInverseScheduler", "EDMEulerScheduler",
    "EDMDPMSolverMultistepScheduler", "FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler",
    "IPNDMScheduler", "KarrasVeScheduler", "RePaintScheduler", "SCMScheduler", "ScoreSdeVeScheduler",
    "VQDiffusionScheduler",
)  # fmt: skip


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def demo() -> Any:
    kind = diffusers.DPMSolverMultistepScheduler
    return kind.from_config(kind.load_config(DEMO))


OWN: dict[str, tuple[Callable[[], Any], type, str]] = {
    "demo": (demo, SD, DIFFUSION),
    "noise": (lambda: diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **BETAS), SD, DIFFUSION),
    "velocity": (lambda: diffusers.DDIMScheduler(clip_sample=False, **V, **BETAS), SD, DIFFUSION),
    "xl": (lambda: diffusers.EulerDiscreteScheduler(timestep_spacing="leading", **BETAS), SDXL, DIFFUSION),
    "no signal at the end": (
        lambda: diffusers.EulerDiscreteScheduler(
            rescale_betas_zero_snr=True, timestep_spacing="trailing", **V, **BETAS
        ),
        SDXL,
        DIFFUSION,
    ),
    "flow": (
        lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), diffusers.StableDiffusion3Pipeline, FLOW
    ),
    "shifted flow": (
        lambda: diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), diffusers.FluxPipeline, FLOW
    ),
    "flow by another class": (
        lambda: diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        diffusers.SanaPipeline,
        FLOW,
    ),
    "edm": (diffusers.EDMDPMSolverMultistepScheduler, SDXL, SCALED),
    "edm velocity": (lambda: diffusers.EDMEulerScheduler(prediction_type="v_prediction"), SDXL, SCALED),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_the_own_scheduler_of_a_pipeline_tells_what_its_network_predicts(name: str) -> None:
    make, pipeline, family = OWN[name]
    assert family_of(make(), pipeline) == family


def created(name: str, own: Any) -> Any:
    return getattr(diffusers, name).from_config(own.config)


@pytest.mark.parametrize("own", ["demo", "noise", "velocity", "xl", "no signal at the end"])
def test_schedulers_of_stable_diffusion_fit_and_others_do_not(own: str) -> None:
    make, pipeline, family = OWN[own]
    scheduler = make()
    assert {
        name: misfit(created(name, scheduler), scheduler, family, pipeline) for name in SOLVERS
    } == dict.fromkeys(SOLVERS, "")
    for name in OTHERS:
        try:
            other = created(name, scheduler)
        except (TypeError, ValueError):  # not from the settings of this pipeline
            continue
        assert misfit(other, scheduler, family, pipeline), name
    found = fitting(scheduler, family, pipeline)
    assert set(SOLVERS) <= set(found) and not set(OTHERS) & set(found)


@pytest.mark.parametrize("own", ["flow", "shifted flow", "flow by another class"])
def test_flow_matching_is_told_from_diffusion(own: str) -> None:
    make, pipeline, family = OWN[own]
    found = fitting(make(), family, pipeline)
    assert {"FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"} <= set(found)
    never = {"DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler", "LCMScheduler", *OTHERS} - set(found)
    assert not {name for name in found if "Flow" not in name} & never
    assert ("DPMSolverMultistepScheduler" in found) == (own == "flow by another class")


def test_another_prediction_type_or_other_noise_levels_do_not_fit() -> None:
    own = OWN["velocity"][0]()
    for changed in (
        {"prediction_type": "epsilon"}, {"prediction_type": "sample"}, {"beta_start": 0.0001, "beta_end": 0.02},
        {"beta_schedule": "squaredcos_cap_v2"}, {"num_train_timesteps": 500},
    ):  # fmt: skip
        other = diffusers.DDIMScheduler.from_config(own.config, **changed)
        assert misfit(other, own, DIFFUSION, SD), changed
    for changed in ({"timestep_spacing": "trailing"}, {"set_alpha_to_one": False}, {"steps_offset": 1}):
        other = diffusers.DDIMScheduler.from_config(own.config, **changed)
        assert not misfit(other, own, DIFFUSION, SD), changed


def test_noise_from_elsewhere_than_the_seed_does_not_fit() -> None:
    """Pipelines of Stable Diffusion 3 pass no generator to their scheduler, so this one would draw by itself."""
    make, pipeline, family = OWN["flow"]
    own = make()
    fault = misfit(created("FlowMatchLCMScheduler", own), own, family, pipeline)
    assert "does not follow from a picture's seed" in fault


def test_an_unknown_network_is_left_to_what_diffusers_lists() -> None:
    own = diffusers.CMStochasticIterativeScheduler()
    assert family_of(own, SD) == ""
    assert "not list" in misfit(diffusers.DDIMScheduler(), own, "", SD)
    assert not misfit(own, own, "", SD)


# In commands


@pytest.mark.parametrize(
    ("kind", "scheduler", "fits"),
    [
        ("sd", "FlowMatchEulerDiscreteScheduler", "DDIMScheduler"),
        ("sd", "CMStochasticIterativeScheduler", "EulerDiscreteScheduler"),
        ("sd", "IPNDMScheduler", "UniPCMultistepScheduler"),
        ("sdxl", "EDMEulerScheduler", "HeunDiscreteScheduler"),
        ("sd3", "DDIMScheduler", "FlowMatchHeunDiscreteScheduler"),
        ("sd3", "EulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler"),
    ],
)
def test_a_misfit_is_refused_with_the_list_of_those_that_fit(
    model: Callable, kind: str, scheduler: str, fits: str
) -> None:
    for act in (check, describe):
        with pytest.raises(
            ImindexError, match=rf"^{scheduler} does not fit the pipeline.*{fits}.* fit "
        ) as raised:
            act(ModelSettings(str(model(kind)), scheduler=scheduler, device="cpu"))
    listed = str(raised.value).rpartition(". ")[0].rpartition(". ")[2].rpartition(" fit ")[0]
    names = re.findall(r"\w+Scheduler", listed)
    assert scheduler not in names and len(names) > 1
    for name in (names[0], names[-1]):
        described = describe(ModelSettings(str(model(kind)), scheduler=name, device="cpu"))
        assert described.scheduler.kind == name


def test_a_scheduler_that_cannot_be_created_is_answered_with_the_list(
    model: Callable, tmp_path: Path
) -> None:
    folder = shutil.copytree(model("sd"), tmp_path / "copy")
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "algorithm_type": "dpmsolver++"}))
    with pytest.raises(
        ImindexError, match=r"SASolverScheduler does not fit.*cannot be created.*DDIMScheduler.* fit "
    ):
        describe(ModelSettings(str(folder), scheduler="SASolverScheduler", device="cpu"))


def test_a_misfit_in_a_plan_is_refused_before_anything_is_generated(model: Callable, tmp_path: Path) -> None:
    for artist in ("Ada Example", "Bo Sample"):
        draw(tmp_path / "works" / artist, 4, len(artist))
    for name in ("one", "two"):
        shutil.copytree(model("sd"), tmp_path / "models" / name)
    plan = PLAN.format(encoder="demo").replace("steps = 2", 'steps = 2\nscheduler = "IPNDMScheduler"', 1)
    (tmp_path / "plan.toml").write_text(plan)
    with pytest.raises(ImindexError, match=r"IPNDMScheduler does not fit the pipeline.*DDIMScheduler"):
        audit(
            Run(read_plan(tmp_path / "plan.toml"), Workspace(tmp_path / "audit"), Compute("cpu"), show=Show())
        )
    assert not list(tmp_path.glob("audit/**/*.png"))
