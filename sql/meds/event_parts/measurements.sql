-- One row is one measurement of a MEDS dataset, as it came; a null time is a static fact.
-- source: MEDS 0.4, DataSchema (https://github.com/Medical-Event-Data-Standard/meds)

with measurements as (
    select _row, subject_id, time, code, numeric_value, text_value, unit, raw_value, available_time, value_status
    from staging.measurements
)

select
    subject_id::bigint as subject_id,
    time::timestamp as time,
    code::varchar as code,
    numeric_value::double as numeric_value,
    text_value::varchar as text_value,
    unit::varchar as unit,
    raw_value::varchar as raw_value,
    coalesce(available_time, time)::timestamp as available_time,
    value_status::varchar as value_status,
    _row::bigint as _row,
    null::varchar as _reason
from measurements
