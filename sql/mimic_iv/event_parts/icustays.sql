-- One row is the entry into, or the exit from, the ICU in one stay there.
-- source: MIMIC-IV manual, icu/icustays (https://mimic.mit.edu/docs/iv/modules/icu/icustays/)

with icustays as (
    select _row, subject_id, first_careunit, last_careunit, intime, outtime
    from staging.icustays
),

events as (
    select _row, subject_id, intime as time, 'ICU_ADMISSION//' || coalesce(first_careunit, 'UNK') as code
    from icustays
    union all
    select _row, subject_id, outtime, 'ICU_DISCHARGE//' || coalesce(last_careunit, 'UNK')
    from icustays
    where outtime is not null
)

select
    subject_id::bigint as subject_id,
    time::timestamp as time,
    code::varchar as code,
    null::double as numeric_value,
    null::varchar as text_value,
    null::varchar as unit,
    null::varchar as raw_value,
    time::timestamp as available_time,
    'none'::varchar as value_status,
    _row::bigint as _row,
    null::varchar as _reason
from events
