-- One row is one entry of the ICU chart, at the time it describes, readable from the time it was stored.
-- source: MIMIC-IV manual, icu/chartevents (https://mimic.mit.edu/docs/iv/modules/icu/chartevents/)

with chartevents as (
    select _row, subject_id, itemid, charttime, storetime, numeric_value, text_value, raw_value, unit, value_status
    from staging.chartevents
)

-- Where the time of storing is empty, the charted time is the best that is known (greatest skips nulls).
select
    subject_id::bigint as subject_id,
    charttime::timestamp as time,
    ('CHART//' || itemid)::varchar as code,
    numeric_value::double as numeric_value,
    text_value::varchar as text_value,
    unit::varchar as unit,
    raw_value::varchar as raw_value,
    greatest(charttime, storetime)::timestamp as available_time,
    value_status::varchar as value_status,
    _row::bigint as _row,
    null::varchar as _reason
from chartevents
