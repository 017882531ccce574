"""What the cues of a sentence mean for distress and for the level."""

import numpy as np

from services.fusion.science.inputs import Floats, InputArrays, Integers
from services.fusion.science.model import DistressModel
from services.fusion.vocabulary import Level, Modality

NO_FLOOR = 0


def probabilities(model: DistressModel, arrays: InputArrays) -> Floats:
    """(n, 3): the distress that each modality says; that of text is at least what its own level and its cues stand
    for.
    """
    text = Modality.TEXT - 1
    floor = model.floor_array[arrays.text_level - 1]
    for cue, value in (
        (arrays.hopelessness, model.hopelessness_floor),
        (arrays.passive_ideation, model.passive_ideation_floor),
        (arrays.critical_signal, model.critical_signal_floor),
    ):
        floor = np.maximum(floor, np.where(cue, value, 0.0))
    said = arrays.probability.copy()
    said[:, text] = np.where(arrays.present[:, text], np.maximum(said[:, text], floor), 0.0)
    return said


def level_floors(arrays: InputArrays) -> Integers:
    """(n,): the level that the words alone demand whatever the scores say, or NO_FLOOR.

    A wish to die, a plan, self-harm or a farewell is critical. A passive wish, or a text model that calls its own
    finding critical without naming a cue, is high. Hopelessness is evidence and demands nothing.
    """
    warning = arrays.passive_ideation | (arrays.text_level == Level.CRITICAL)
    return np.where(arrays.critical_signal, int(Level.CRITICAL), np.where(warning, int(Level.HIGH), NO_FLOOR))
