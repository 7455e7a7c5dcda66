"""Encode a batch such that its vectors depend neither on its length nor on the number of threads.

PyTorch multiplies few rows, or an odd number of them, by other routines than many. In fp32 these give other last bits,
and the bits then depend on the number of threads. So a batch that is not full, such as the last one of a build, is
filled up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imindex.indexer.encoders.returned import check_vectors

if TYPE_CHECKING:
    import torch

    from imindex.indexer.encoders.base import Encoder

MULTIPLE = 16
"""Batches of a multiple of this many pictures have the rows of full batches, with any number of threads."""


def padded_length(n: int, batch_size: int) -> int:
    """Return the length to which a batch of n pictures is filled up: a multiple of 16, at most that of a full batch.

    Examples
    --------
    >>> padded_length(10, 32), padded_length(16, 32), padded_length(3, 8), padded_length(40, 32)
    (16, 16, 8, 40)
    """
    return max(n, min(batch_size, -(-n // MULTIPLE) * MULTIPLE))


def encode_padded(encoder: Encoder, pixels: torch.Tensor, batch_size: int) -> npt.NDArray[np.float16]:
    """Encode a batch of a build, filled up with black pictures.

    Parameters
    ----------
    encoder : Encoder
    pixels : torch.Tensor, shape (n, 3, height, width), uint8
    batch_size : int
        Pictures in a full batch.

    Returns
    -------
    ndarray, shape (n, dim), float16
        As the encoder returned them; the caller checks their type and norms (`check_vectors`).

    Raises
    ------
    ImindexError
        The encoder returned another number of vectors than the filled batch has pictures. Without the black ones that
        could look complete, with vectors that belong to other pictures.
    """
    n = len(pixels)
    more = padded_length(n, batch_size) - n
    if not n or not more:
        return encoder.encode_images(pixels)
    import torch

    filled = torch.cat([pixels, pixels.new_zeros((more, *pixels.shape[1:]))])
    vectors = encoder.encode_images(filled)
    if getattr(vectors, "shape", ())[:1] != (n + more,):
        check_vectors(vectors, n + more, encoder.info, black=more)
    return vectors[:n]
