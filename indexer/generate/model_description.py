"""What a release was made with: the model and its settings, as release.json holds them."""

from __future__ import annotations

from typing import Any

import msgspec


class _Described(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the parts of a description."""


class SchedulerDescription(_Described, kw_only=True, frozen=True):
    """A scheduler: its class (empty if the pipeline has none), and the SHA-256 of its configuration."""

    kind: str = msgspec.field(name="class")
    config_sha256: str


class LoraDescription(_Described, kw_only=True, frozen=True):
    """A LoRA: the name and the SHA-256 of its file, and the scale that it is applied with."""

    file: str
    sha256: str
    scale: float


class SettingsDescription(_Described, kw_only=True, frozen=True):
    """How pictures are requested; None is what the pipeline does by itself.

    Attributes
    ----------
    steps : int or None
        Of denoising.
    guidance : float or None
    size : str
        Such as 512x512; empty by default.
    dtype : str
        fp32, bf16 or fp16.
    negative_prompt : str
    """

    steps: int | None
    guidance: float | None
    size: str
    dtype: str
    negative_prompt: str


class ModelDescription(_Described, kw_only=True, frozen=True):
    """A model and its settings.

    Attributes
    ----------
    model : str
        Name on the hub, or the name of the folder.
    revision : str
        Digest of the folder, or the commit on the hub.
    pipeline : str
        Class of the pipeline.
    scheduler : SchedulerDescription
    lora : LoraDescription or None
    settings : SettingsDescription
    text_encoders : list of str
    versions : dict of str to str
        By package.
    """

    model: str
    revision: str
    pipeline: str
    scheduler: SchedulerDescription
    lora: LoraDescription | None
    settings: SettingsDescription
    text_encoders: list[str]
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return the description as release.json holds it."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        return values

    def manifest_fields(self) -> dict[str, Any]:
        """Return the fields that all lines of the manifest share."""
        values = self.to_dict()
        return {
            **{key: values[key] for key in ("model", "revision", "pipeline", "scheduler")},
            **values["settings"],
            **{key: values[key] for key in ("lora", "versions")},
        }
