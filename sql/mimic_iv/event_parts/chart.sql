-- One row is one entry of the ICU chart, at the time it describes, readable from the time it was stored.
-- source: MIMIC-IV manual, icu/chartevents (https://mimic.mit.edu/docs/iv/modules/icu/chartevents/)

select
    subject_id, charttime as time, 'CHART//' || itemid as code, numeric_value, text_value, raw_value, unit,
    value_status, storetime as available_time, _row
from staging.chartevents
