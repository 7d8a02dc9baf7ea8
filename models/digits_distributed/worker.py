"""What torchrun runs in each process: every kind of network, trained in the ways that it names.

torchrun --standalone --nproc-per-node=2 -m models.digits_distributed.worker \
    FOLDER float64 2 "two processes, DDP" "two processes, FSDP2"
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from models.digits import network as digits
from models.digits_distributed.networks import KINDS
from models.digits_distributed.training import WAYS, train


def main(folder: Path, dtype: str, epochs: int, ways: list[str]) -> None:
    """Write kind/way/rank.npz in the folder, as results.py reads it."""
    distributed.init_process_group("gloo")
    rank, data = distributed.get_rank(), digits.load()
    for way in ways:
        for kind in KINDS:
            place = folder / kind / way
            place.mkdir(parents=True, exist_ok=True)
            with warnings.catch_warnings():
                # Seeds alone draw the same slopes in all processes, which is what the table shows.
                warnings.filterwarnings("ignore", message="a seeded RReLU counts its steps in several")
                noise, weights = train(kind, WAYS[way], data, getattr(torch, dtype), epochs)
            layers = {f"layer{i}": each for i, each in enumerate(noise)}
            np.savez(place / f"{rank}.npz", allow_pickle=False, weights=weights, **layers)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
