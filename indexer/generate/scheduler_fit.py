"""Find out whether a scheduler fits a pipeline, by running it on a network whose answer is known.

The network's data consist of a single picture, so that the right prediction is known for every noisy picture and every
step, in the parametrisation of the pipeline's own scheduler: its noise levels, its prediction type, flow matching or
not. A scheduler that reads the predictions as they are meant passes noisy pictures on that have as much noise as their
step says, and arrives at that picture, whatever its method. The schedulers are called as pipelines call them.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Network = Callable[[torch.Tensor, float], torch.Tensor]

DIFFUSION, FLOW, SCALED = "diffusion", "flow matching", "scaled"
_STEPS = 12
_MOST_ERROR = 0.2
"""The largest distance from the known picture at the end, relative to its values (both root mean square)."""
_LEAST_NOISE, _MOST_NOISE = 0.85, 1.15
"""The noise of a picture, relative to the noise that its step says; the noise of 1,024 numbers varies by 2 %."""
_FAINT = 0.15
"""Noise below this level is not compared: it is next to what a method is off by."""
_SHAPE = (1, 4, 16, 16)
_SHIFT = 0.8
"""`mu`, the shift of noise levels that some pipelines pass, at an ordinary size of pictures."""


def family_of(own: Any, pipeline: type) -> str:
    """Return how the network of a pipeline predicts, by its own scheduler; empty if that is not known.

    Parameters
    ----------
    own : object
        The pipeline's own scheduler.
    pipeline : type

    Returns
    -------
    str
        `diffusion` (noise is added with decreasing signal; the network predicts noise, velocity or picture), `flow
        matching`, `scaled` (noise is added to a full signal, and the network's inputs and outputs are scaled: EDM), or
        empty: the scheduler does not reach the known picture under any of them.
    """
    families = (DIFFUSION, FLOW, SCALED)
    return next((family for family in families if not misfit(own, own, family, pipeline)), "")


def misfit(scheduler: Any, own: Any, family: str, pipeline: type) -> str:
    """Return why a scheduler does not fit a network; empty if it fits.

    Parameters
    ----------
    scheduler : object
        Created from the configuration of `own`.
    own : object
        The pipeline's own scheduler.
    family : str
        Of `family_of`. If it is empty, what diffusers lists as compatible with `own` fits.
    pipeline : type
        Class of the pipeline.
    """
    import torch

    if not family:
        names = {type(own).__name__, *(kind.__name__ for kind in own.compatibles)}
        return "" if type(scheduler).__name__ in names else "diffusers does not list it as compatible"
    keyed = torch.Generator().manual_seed(5)
    picture = torch.rand(_SHAPE, generator=keyed) * 1.6 - 0.8
    noise = torch.randn(_SHAPE, generator=keyed)
    try:
        levels: list[float] = []
        network = _network(own, family, picture, levels)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            paths = []
            for seed in (1, 2):
                torch.manual_seed(seed)
                paths.append(_path(scheduler, network, noise, family, pipeline))
    except Exception as error:  # of any kind: the scheduler was made for other pipelines
        return f"{type(error).__name__}: {error}"
    first, second = paths
    if not torch.equal(first, second):
        return "it draws noise that does not follow from a picture's seed"
    distance = float(((first[-1] - picture) ** 2).mean().sqrt() / (picture**2).mean().sqrt())
    if not distance <= _MOST_ERROR:
        return "it reads the network's predictions in another way"
    if not all(_LEAST_NOISE <= level <= _MOST_NOISE for level in levels):
        return "its pictures have more or less noise than their steps say"
    return ""


def fitting(own: Any, family: str, pipeline: type, avoid: tuple[str, ...] = ()) -> list[str]:
    """Return the names of all schedulers of diffusers that fit a network, in alphabetical order."""
    import diffusers

    names = []
    for name in sorted(dir(diffusers)):
        kind = getattr(diffusers, name, None) if name.endswith("Scheduler") and name not in avoid else None
        if not inspect.isclass(kind) or not issubclass(kind, diffusers.SchedulerMixin):
            continue
        try:
            scheduler = kind.from_config(own.config)  # type: ignore[attr-defined]
        except Exception:
            continue
        if not misfit(scheduler, own, family, pipeline):
            names.append(name)
    return names


def _path(scheduler: Any, network: Network, noise: torch.Tensor, family: str, pipeline: type) -> torch.Tensor:
    """Return the noisy pictures after each step, (steps, *shape)."""
    import torch

    settings = inspect.signature(scheduler.set_timesteps).parameters
    shifted = getattr(scheduler.config, "use_dynamic_shifting", False) and "mu" in settings
    scheduler.set_timesteps(_STEPS, **({"mu": _SHIFT} if shifted else {}))
    scales = family != FLOW
    sample = noise * scheduler.init_noise_sigma if scales else noise
    more: dict[str, object] = {}
    if hasattr(pipeline, "prepare_extra_step_kwargs"):
        accepted = inspect.signature(scheduler.step).parameters
        more = {
            key: value
            for key, value in (("eta", 0.0), ("generator", torch.Generator().manual_seed(7)))
            if key in accepted
        }
    path = []
    for step in scheduler.timesteps:
        taken = scheduler.scale_model_input(sample, step) if scales else sample
        sample = scheduler.step(network(taken, float(step)), step, sample, **more, return_dict=False)[0]
        path.append(sample)
    return torch.stack(path)


def _network(own: Any, family: str, picture: torch.Tensor, levels: list[float]) -> Network:
    """Return the network of a pipeline whose data consist of one picture.

    It adds to `levels` the noise of each picture that it receives, relative to what the step says.
    """
    import numpy as np
    import torch

    if family == FLOW:
        n_train = float(own.config.num_train_timesteps)

        def velocity(noisy: torch.Tensor, step: float) -> torch.Tensor:
            sigma = max(step / n_train, 1e-6)
            noise = (noisy - (1 - sigma) * picture) / sigma
            if sigma > _FAINT:
                levels.append(float((noise**2).mean().sqrt()))
            return noise - picture

        return velocity
    kind = own.config.get("prediction_type", "epsilon")
    if family == SCALED:
        data = float(own.config.sigma_data)

        def scaled(noisy: torch.Tensor, step: float) -> torch.Tensor:
            sigma = math.exp(4 * step)
            total = math.hypot(sigma, data)
            noisy = noisy * total
            if sigma > _FAINT:
                levels.append(float((((noisy - picture) / sigma) ** 2).mean().sqrt()))
            sign = {"epsilon": 1, "v_prediction": -1}[kind]
            scaled_back: torch.Tensor = (
                sign * (picture - (data / total) ** 2 * noisy) * total / (sigma * data)
            )
            return scaled_back

        return scaled
    signal = np.clip(own.alphas_cumprod.double().numpy(), 1e-12, 1 - 1e-12)
    logits = np.log(1 - signal) - np.log(signal)

    def predict(noisy: torch.Tensor, step: float) -> torch.Tensor:
        ratio = float(np.exp(np.interp(step, np.arange(len(logits)), logits)))
        alpha, sigma = (1 / (1 + ratio)) ** 0.5, (ratio / (1 + ratio)) ** 0.5
        noise: torch.Tensor = (noisy - alpha * picture) / sigma
        if sigma > _FAINT:
            levels.append(float((noise**2).mean().sqrt()))
        if kind == "v_prediction":
            velocity: torch.Tensor = alpha * noise - sigma * picture
            return velocity
        if kind == "sample":
            return torch.clone(picture)
        if kind == "epsilon":
            return noise
        raise ValueError(f"unknown prediction type {kind}")

    return predict
