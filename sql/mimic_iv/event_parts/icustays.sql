-- One row is the entry into, or the exit from, the ICU in one stay there.
-- source: MIMIC-IV manual, icu/icustays (https://mimic.mit.edu/docs/iv/modules/icu/icustays/)

with events as (
    select _row, subject_id, intime as time, intime, 'ICU_ADMISSION//' || coalesce(first_careunit, 'UNK') as code
    from staging.icustays
    union all
    select _row, subject_id, outtime, intime, 'ICU_DISCHARGE//' || coalesce(last_careunit, 'UNK')
    from staging.icustays
    where outtime is not null
)

-- An exit that is told to lie before its entry is not readable before it.
select subject_id, time, code, greatest(time, intime) as available_time, _row
from events
