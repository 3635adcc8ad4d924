-- One row is the taking of the specimen that one laboratory result comes from.
-- source: MIMIC-IV manual, hosp/labevents (https://mimic.mit.edu/docs/iv/modules/hosp/labevents/)

with labevents as (
    select _row, subject_id, itemid, charttime, priority
    from staging.labevents
)

select
    subject_id::bigint as subject_id,
    charttime::timestamp as time,
    ('LAB//SPECIMEN_COLLECTED//' || itemid || '//' || coalesce(priority, 'UNK'))::varchar as code,
    null::double as numeric_value,
    null::varchar as text_value,
    null::varchar as unit,
    null::varchar as raw_value,
    charttime::timestamp as available_time,
    'none'::varchar as value_status,
    _row::bigint as _row,
    null::varchar as _reason
from labevents
