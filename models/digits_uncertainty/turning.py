"""An image turned step by step."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ort_rrelu.arguments import Array


def turned(image: Array, degrees: Array) -> Array:
    """Images (len(degrees), 1, 8, 8): one of (1, 8, 8), counterclockwise; what comes in at the edges is 0."""
    angles = np.deg2rad(degrees)
    cosine, sine, zero = np.cos(angles), np.sin(angles), np.zeros(len(angles))
    matrices = np.stack([np.stack([cosine, -sine, zero], 1), np.stack([sine, cosine, zero], 1)], 1)
    images = torch.from_numpy(image).expand(len(angles), *image.shape)
    places = nn.functional.affine_grid(
        torch.from_numpy(matrices).float(), list(images.shape), align_corners=False
    )
    rotated: Array = nn.functional.grid_sample(images, places, align_corners=False).numpy()
    return rotated
