-- One row is one person.
-- source: MIMIC-IV manual, hosp/patients (https://mimic.mit.edu/docs/iv/modules/hosp/patients/)

with patients as (
    select _row, subject_id, gender, anchor_age, anchor_year, dod
    from raw.patients
),

-- An id with a point is refused: a cast would round it to somebody else's.
typed as (
    select
        *,
        case when not contains(subject_id, '.') then try_cast(subject_id as bigint) end as subject,
        try_cast(anchor_age as integer) as age,
        try_cast(anchor_year as integer) as anchored,
        try_cast(dod as date) as died
    from patients
)

select
    subject::bigint as subject_id,
    nullif(trim(gender), '')::varchar as gender,
    age::integer as anchor_age,
    anchored::integer as anchor_year,
    died::date as dod,
    _row::bigint as _row,
    (case
        when subject_id is null then 'quarantine:subject_id:missing'
        when subject is null then 'quarantine:subject_id:unparseable'
        when anchor_age is not null and age is null then 'quarantine:anchor_age:unparseable'
        when age not between 0 and 130 then 'quarantine:anchor_age:out_of_range'
        when anchor_year is not null and anchored is null then 'quarantine:anchor_year:unparseable'
        when anchored - age not between year($earliest_time::timestamp) and year($latest_time::timestamp)
            then 'quarantine:anchor_year:out_of_range'
        when dod is not null and died is null then 'quarantine:dod:unparseable'
        when died not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:dod:out_of_range'
    end)::varchar as _reason
from typed
