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
_RRELU_AS_STORED = """
    a754341ef7779a29aa143206eaea2c2a
    ca3d938b095841fb06fc1ce9dc7d392b
    7f240f481c7684f1c21d82b8fa02ffee
    16e493c2b121b84fa15610b148609ee5
    f3afa1f56de527ec01a9ba3f9ab54ac3
    2684be65fd612a9eaabd5e7801c4487b
    c6f56276bafafc82b4c6c64071e48f80
    89a1552fdb90548d1e7c92c51b925a0a
    5f7355aeb333a33d223b43d8d9c16ed0
    de811e9510fdfd3a9f21bbd8a08fbe5f
    03f09dfbafafe8adaccc7a0f4bcce875
    a93595ff3bb3f5d63db04897b66c87ec
    6c44ce1f7ac3d8981a8516e3d6f4991a
    00da84f00b9c94a9cefe6e4913581630
    212657f8af95fa191da45aff9b42e0d6
    81a352d931e9fdecd64594559069701c
"""  # The same, with a Reshape before casts of 16-bit types
_RRELU_GRAD = """
    e07cc3158db9da8ae49d03cf4f0c46b0
    131e4ee9e31db084c5b07085439ac86c
"""  # 0.1.0; with such a Reshape

# Digest -> op.
KNOWN_BODIES = {
    **dict.fromkeys((_RRELU + _RRELU_AS_STORED).split(), schema.RRELU),
    **dict.fromkeys(_RRELU_GRAD.split(), schema.RRELU_GRAD),
}
