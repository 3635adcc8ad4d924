-- One row is one laboratory result, at the time it describes, readable from the time it was stored.
-- source: MIMIC-IV manual, hosp/labevents (https://mimic.mit.edu/docs/iv/modules/hosp/labevents/)

select
    subject_id, charttime as time, 'LAB//RESULT//' || itemid as code, numeric_value, text_value, raw_value, unit,
    value_status, storetime as available_time, specimen_id as record_id, _row
from staging.labevents
