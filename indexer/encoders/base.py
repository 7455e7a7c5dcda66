"""What an encoder is: the interface between the rest of imindex and the back ends in this folder.

A back end is a module that loads encoders of one library or kind. ENCODERS.md, beside this file, shows how to add one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.tokens import Tokens

if TYPE_CHECKING:  # both import torch, and this module is also read where nothing is encoded
    import torch

    from imindex.indexer.decode.preprocess import Preprocess


class Encoder(Protocol):
    """Encodes pictures, and texts where it has a text side, as unit vectors.

    Subclass it to inherit the members that are derived from others, or match it structurally. For a PyTorch model,
    subclass `imindex.indexer.encoders.torch_encoder.TorchEncoder` instead, which also forms the batches.

    Attributes
    ----------
    info : EncoderInfo
        What an index records of the encoder.
    device : torch.device
        The device that encodes; with several devices, the first. Exact search runs on it too.
    batch_size : int
        Pictures in one forward pass, over all devices. `encode_images` takes any number of pictures, and may lower
        this attribute when memory runs out.
    has_text : bool
        Whether `encode_texts` works. Without it pictures are classified by works only.
    """

    info: EncoderInfo
    device: torch.device
    batch_size: int
    has_text: bool = False

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.info.dim

    @property
    def preprocess(self) -> Preprocess:
        """How a picture is brought to the size that `encode_images` takes."""
        from imindex.indexer.decode.preprocess import Preprocess

        return Preprocess.from_dict(self.info.preprocess)

    @property
    def takes_all_processors(self) -> bool:
        """Whether `encode_images` keeps every processor busy. A build then decodes and encodes in turns."""
        return False

    def encode_images(self, pixels: torch.Tensor) -> npt.NDArray[np.float16]:
        """Encode decoded pictures.

        A picture's vector does not depend on the other pictures, beyond the rounding of the arithmetic.

        Parameters
        ----------
        pixels : torch.Tensor, shape (n, 3, height, width), uint8
            RGB pictures on the CPU, at the size of `preprocess`, as `imindex.indexer.decode.preprocess.decode` returns
            them. n may be 0.

        Returns
        -------
        ndarray, shape (n, dim), float16
            One vector per picture, in order, normalised in float32 before it is rounded. A row is NaN if the
            picture has no finite, non-zero vector; a build then rejects the picture.

        Raises
        ------
        ImindexError
            A single picture does not fit in the memory of the device.
        """
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Encode texts into the space of the pictures.

        Parameters
        ----------
        texts : sequence of str
            n texts; n may be 0.

        Returns
        -------
        ndarray, shape (n, dim), float16
            One unit vector per text, in order.

        Raises
        ------
        ImindexError
            The encoder has no text side (`has_text` is False).
        """
        raise no_text_side(self.info)

    def tokens(self, texts: Sequence[str]) -> Tokens | None:
        """Return how many tokens of texts are read. None if that is not known, which is the default.

        Parameters
        ----------
        texts : sequence of str
        """
        return None


class Backend(Protocol):
    """What a back end module defines.

    A module may also define `compared_config(config) -> dict`, see `imindex.indexer.encoders.registry.differences`, and
    `knows(model, pretrained) -> bool`, see `imindex.indexer.encoders.registry.knows`. Its `load` need not have the
    keyword `preprocess_from`: a choice by the user is then refused.
    """

    def load(
        self,
        model: str,
        pretrained: str | None,
        *,
        devices: Sequence[torch.device],
        precision: str,
        batch_size: int | None,
        preprocess_from: str | EncoderInfo | None = None,
    ) -> Encoder:
        """Load an encoder.

        Parameters
        ----------
        model : str
            What the user passes as `--model`, with the name of the back end: `mean-colour`, `timm:resnet50`.
        pretrained : str, optional
            What the user passes as `--pretrained`; the path of a file is absolute.
        devices : sequence of torch.device
            At least one. Several share the pictures, see `imindex.indexer.encoders.multi_device.on_devices`.
        precision : str
            `fp16`, `bf16` or `fp32`.
        batch_size : int, optional
            Pictures in one forward pass, over all devices; by default what suits the devices.
        preprocess_from : str or EncoderInfo, optional
            Where preprocessing and activation come from if the weights do not state them: what the user passes as
            `--preprocess-from`, see `imindex.indexer.encoders.published.taken`; or what an existing index records.
            The text is refused if the weights do state them; an EncoderInfo is then ignored.

        Returns
        -------
        Encoder
            Its `info.model` is such that loading it again gives the same encoder, from any working directory. Its
            `info.config` holds `"backend"`, the name of the back end. (open_clip's alone does not.)

        Raises
        ------
        ImindexError
            The model is unknown, its weights are missing, or an argument does not apply to it.
        """


def no_text_side(info: EncoderInfo) -> ImindexError:
    """Return the error of an encoder that is asked for texts and encodes pictures only."""
    return ImindexError(
        f"{info.name()} has no text side: it encodes pictures, so they can be compared with pictures but not with "
        "names or other texts. Classify by='works' (--by works), query with a picture, or build an index with an "
        "encoder that encodes texts, such as --model ViT-B-32."
    )


def require_text_side(encoder: Encoder) -> None:
    """Raise the ImindexError of `no_text_side` unless the encoder encodes texts."""
    if not encoder.has_text:
        raise no_text_side(encoder.info)
