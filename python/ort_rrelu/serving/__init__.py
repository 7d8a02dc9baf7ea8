"""Models behind servers that speak the Open Inference Protocol v2.

`mlserver` is for one machine (`ort-rrelu serve`), `ray` for a cluster, `triton` writes a model repository.
Each imports its server, so none is imported here.
"""

from __future__ import annotations

from ort_rrelu.serving.batching import can_batch, obstacles
from ort_rrelu.serving.errors import RequestError

__all__ = ["RequestError", "can_batch", "obstacles"]
