"""The bodies of our functions, in all versions, by which recognition.py knows them under other names."""

from __future__ import annotations

from ort_rrelu import schema

__all__ = ["KNOWN_BODIES"]

# Digests. One that is here stays, for models that were written with it; a change of a body adds some.
_RRELU = """
    b7a2b3e752134053abe51d83b2e96120
    a6357fb82954cf933acc6bce2e5ac113
    b2b56789133f4ed4b1aac6de6aa36364
    76428cebcd7ecfd8e0ac49e30f1bce73
    eabfb18f235b8cd808da537ec31c6016
    3abeeb563921b48bcdfda583c6cbba38
    7a56ddf6d34d1c64ad9717f3d08ad31e
    3ad3469348ddded776447721eeb17656
    5ff68dc73552e6c725b35b47a08ea67f
    fdd8a170cbed31e4e57162a641e100f3
    638f965aacf7efa19cbe4ffa54def057
    ab2ce333dca25e447bbc165a35d56262
    473d0376866976cc204e8ab0604b7e60
    a34169ef2f2b942ebbd68140b567ee55
    5abdf459f5eac58d967629306dad3028
    afa79a01891b740d56a89ea2f7baeb00
"""  # 0.1.0: with and without step, noise, a LeakyRelu for the usual bounds, RandomUniform
_RRELU_GRAD = """
    e07cc3158db9da8ae49d03cf4f0c46b0
"""  # 0.1.0

# Digest -> op.
KNOWN_BODIES = {
    **dict.fromkeys(_RRELU.split(), schema.RRELU),
    **dict.fromkeys(_RRELU_GRAD.split(), schema.RRELU_GRAD),
}
