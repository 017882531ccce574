"""What predictions say, checked and as bytes: columns of plain values in, columns of fields out; rows that can't be
taken are refused by field and reason.

Its digest covers these bytes and its row is made of them. A field is its length (int32, -1 for none) and its value,
big-endian, as in Postgres' binary COPY. Stored digests are compared for as long as predictions are kept, so this layout
never changes:

    digest        SHA-256 of chunk, modality, content
    chunk         fields of chunk id (16 bytes), capture start, capture end (int64, microseconds since 2000)
    modality      one byte: 1 vision, 2 audio, 3 text
    vision        fields of emotion, confidence, distress, frames (int32), labels, probabilities, model version
    audio         fields of emotion, stress, confidence, labels, probabilities, eight features (float32), model version
    text          fields of risk level, distress, confidence, valence, cues, sealed transcript, its state, model version

The fields of a modality are those of the contract in number order; those that may be missing are none then.

    words         UTF-8; emotion, level and state by their names in vocabulary.py
    score         four decimals, as numeric: 1 digit (int16), weight (int16: 0 for one, else -1), sign (uint16: 0x4000
                  below zero), scale 4 (uint16), the digit (uint16: ten-thousandths, or 1 for one)
    labels        array: 1 dimension, 0, type 21, count, 1 (int32 each), then a field (int16) for each
    probabilities the same with type 700 and float32
    cues          byte 1 and a JSON object as orjson writes it, its keys in number order
    transcript    as the edge sealed it; no bytes when none is kept
"""
