-- One row is the meaning of one code, as the dataset's own metadata gives it.
-- source: MEDS 0.4, CodeMetadataSchema (https://github.com/Medical-Event-Data-Standard/meds)

select code, description, parent_codes, _row
from staging.codes
