-- One row is one stay of one person in an ICU.
-- source: MIMIC-IV manual, icu/icustays (https://mimic.mit.edu/docs/iv/modules/icu/icustays/)

with icustays as (
    select _row, subject_id, stay_id, first_careunit, last_careunit, intime, outtime
    from raw.icustays
),

-- An id with a point is refused: a cast would round it to somebody else's.
typed as (
    select
        *,
        case when not contains(subject_id, '.') then try_cast(subject_id as bigint) end as subject,
        case when not contains(stay_id, '.') then try_cast(stay_id as bigint) end as stay,
        try_cast(intime as timestamp) as entered,
        try_cast(outtime as timestamp) as left_unit
    from icustays
)

select
    subject::bigint as subject_id,
    stay::bigint as stay_id,
    nullif(trim(first_careunit), '')::varchar as first_careunit,
    nullif(trim(last_careunit), '')::varchar as last_careunit,
    entered::timestamp as intime,
    left_unit::timestamp as outtime,
    _row::bigint as _row,
    (case
        when subject_id is null then 'quarantine:subject_id:missing'
        when subject is null then 'quarantine:subject_id:unparseable'
        when stay_id is null then 'quarantine:stay_id:missing'
        when stay is null then 'quarantine:stay_id:unparseable'
        when intime is null then 'quarantine:intime:missing'
        when entered is null then 'quarantine:intime:unparseable'
        when entered not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:intime:out_of_range'
        when outtime is not null and left_unit is null then 'quarantine:outtime:unparseable'
        when left_unit not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:outtime:out_of_range'
    end)::varchar as _reason
from typed
