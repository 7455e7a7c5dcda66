"""Whitening and hub terms, recomputed: by a singular value decomposition, and with all pairs; see `recompute`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.support.recompute_world import Array, Export


def whitened(export: Export) -> Export:
    """The same pictures with whitened vectors, rounded to float16 as stored ones are."""
    rows = export.where("works", "background")
    kept: dict[tuple[str, bytes], int] = {}
    for row in rows.tolist():
        kept.setdefault((export.columns["artist"][row], export.vectors[row].tobytes()), row)
    works = export.vectors[list(kept.values())]
    maker = np.array([artist for artist, _ in kept])
    names = sorted(set(maker))
    mean = np.mean([works[maker == name].mean(axis=0) for name in names], axis=0)
    mean = np.round(mean * 2**24) / 2**24
    parts = np.array(
        [
            (works[maker == name] - mean).T @ (works[maker == name] - mean) / (maker == name).sum()
            for name in names
        ]
    )
    whole, d, n = parts.mean(axis=0), works.shape[1], len(names)
    target = np.trace(whole) / d * np.eye(d)
    error = np.square(parts - whole).sum() / n**2
    w = min(1.0, max(1e-3, 1 / n, error / np.square(whole - target).sum()))
    axes, values, _ = np.linalg.svd((1 - w) * whole + w * target, hermitian=True)
    root = axes @ np.diag(values**-0.5) @ axes.T
    longest = np.linalg.norm(root, axis=1).max() * (1 + 2**-8)
    root = np.round(root / 2 ** np.ceil(np.log2(longest)) * 2**16) / 2**16
    moved = (export.vectors - mean) @ root
    white = (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float16).astype(np.float64)
    return replace(export, vectors=white, stored=export.vectors)


def half_terms(items: Array, works: Array, k: int) -> Array:
    """Half the mean cosine of each item to its k nearest works."""
    return np.sort(items @ works.T, axis=1)[:, ::-1][:, :k].mean(axis=1) / 2
