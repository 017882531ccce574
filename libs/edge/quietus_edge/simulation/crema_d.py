"""How people perceive acted emotions: sums of raters' votes on clips of CREMA-D, by intended emotion.

Source: Cao H, Cooper DG, Keutmann MK, Gur RC, Nenkova A, Verma R (2014), "CREMA-D: Crowd-sourced Emotional
Multimodal Actors Dataset", IEEE Transactions on Affective Computing 5(4). Summed over 4,333 clips of 53 actors.
Tables derived from the database are under the Open Database License 1.0.

A row is the intended emotion, a column the perceived one, both in the order of EMOTIONS.
"""

from collections.abc import Mapping, Sequence

EMOTIONS = ("neutral", "happy", "sad", "angry", "fear", "disgust")

Votes = Mapping[str, Sequence[int]]

VOICE_VOTES: Votes = {
    "neutral": (4633, 112, 433, 192, 298, 309),
    "happy": (2953, 2094, 227, 440, 550, 469),
    "sad": (3680, 106, 1712, 119, 798, 461),
    "angry": (1144, 139, 68, 3701, 353, 1453),
    "fear": (2626, 211, 1004, 372, 2158, 429),
    "disgust": (2527, 204, 617, 862, 622, 1887),
}

FACE_VOTES: Votes = {
    "neutral": (4358, 237, 523, 265, 288, 432),
    "happy": (568, 6313, 48, 74, 86, 95),
    "sad": (2861, 106, 2345, 201, 896, 708),
    "angry": (975, 224, 192, 3903, 387, 1423),
    "fear": (1459, 117, 1018, 522, 3231, 745),
    "disgust": (317, 53, 1548, 571, 888, 3721),
}
