"""The words of a `_reason`: why a record was dropped, or what was wrong with a column of one that was quarantined."""

from __future__ import annotations

FAULTS = "_faults"
"""The column that tells which cells were left out of a kept row, as `column:reason` with blanks between; counted, and
stored beside the rows, where no relation shows it."""
AT_ITS_TIME = "_at_its_time"
"""The column that tells of which rows of an event part `available_time` is the time, for their source gives none."""
HIDDEN = ("_reason", FAULTS, AT_ITS_TIME)
"""Columns that the runner alone reads; a stage gives some of them or none."""
NOT_SAMPLED = "not_sampled"
"""The rule by which records of subjects outside of the sample are dropped."""
FORGOTTEN = "opted_out"
"""The rule by which records of subjects who asked to be forgotten are dropped."""
OF_SUBJECTS = (NOT_SAMPLED, FORGOTTEN)
"""Rules that are of no stage's text, but of whose a record is: what they drop is not shown."""
CONTENT_FAULTS = {
    "not_there": "no file lies at the path below the raw root",
    "outside": "the path leads out of the raw root, or to a place on the net",
    "no_file": "the path leads to a folder, a device or a pipe",
    "unknown_format": "the file is no PNG, JPEG, TIFF, DICOM, npy or npz",
    "truncated": "the file ends before what it should hold does",
    "damaged": "the file cannot be decoded",
    "too_large": "the image or array is larger than any that can be meant",
    "not_in_file": "the file has no such member, row or frame",
    "which_not_said": "the file holds several, and the record does not say which is meant",
    "wrong_shape": "the array has not the dimensions of an image or a waveform, or nothing in it",
    "wrong_modality": "the record says a modality that there is none of, or another one than its file can hold",
    "no_pixels": "the DICOM object is no image",
    "unsupported_samples": "samples are of a type that cannot be stored as it is: only 8 or 16 bits without sign can",
    "unsupported_photometric": "the photometric interpretation is none that is read",
    "unsupported_compression": "nothing that is installed unpacks the file",
    "unsupported_lut": "a look-up table or a window other than the plain ones says what is seen",
}
"""The words for files of images and waveforms that cannot be used."""
REASONS = {
    "missing": "the cell is empty",
    "unparseable": "the cell is not of the column's type",
    "unparseable_zone": "the cell is a time of a zone, as `2150-01-02T08:00:00Z`, and the pipeline names no `zone`; or "
    "of one by its name, as `EST`",
    "out_of_range": "what the cell says lies outside what can be",
    "not_finite": "the number is NaN or infinite, as of a division by zero",
    "time_of_day_lost": "the cell is a day and a time on it, and its column holds days",
    "contradicted": "the text of a value says another number than the number beside it",
    "no_admission": "no admission has the number that the record names",
    "no_discharge": "the admission that the record names has no end",
    "listed_before": "an earlier record of the same table says the same",
    "nothing_measured": "no column of the record that becomes a measurement is filled",
    "missing_outcome": "there is no outcome to predict",
    **CONTENT_FAULTS,
}
"""Words that every stage may use, and what they mean; a contract's `reasons` adds others to all that comes from it."""
