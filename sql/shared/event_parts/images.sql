-- One row is one image or waveform that was decoded, at the time when it was taken.
-- source: A table of your own beside those of the source (docs/guides/images.md)

select
    images.subject_id,
    images.time,
    upper(coalesce(images.modality, 'image')) || '//' || images.kind as code,
    images.available_time,
    contents.sha256 as record_id,
    images._row,
    content_fault('path', contents.fault) as _reason
from staging.images
join contents on contents.record = images._row
