-- One row is a person's gender, birth or death.
-- source: MIMIC-IV manual, hosp/patients (https://mimic.mit.edu/docs/iv/modules/hosp/patients/)

with patients as (
    select _row, subject_id, gender, anchor_age, anchor_year, dod
    from staging.patients
),

admissions as (
    select subject_id, deathtime
    from staging.admissions
),

first_deaths as (
    select subject_id, min(deathtime) as deathtime
    from admissions
    group by subject_id
),

-- A death outside the hospital is known by its day alone: it counts from the end of that day.
deaths as (
    select
        patients._row,
        patients.subject_id,
        coalesce(first_deaths.deathtime, patients.dod + interval '23:59:59') as time,
        'MEDS_DEATH' as code
    from patients
    left join first_deaths on first_deaths.subject_id = patients.subject_id
),

-- The year of birth is all that is known; an age of 91 stands for every age above 89.
births as (
    select _row, subject_id, make_timestamp(anchor_year - anchor_age, 1, 1, 0, 0, 0) as time, 'MEDS_BIRTH' as code
    from patients
),

genders as (
    select _row, subject_id, null::timestamp as time, 'GENDER//' || coalesce(gender, 'UNK') as code
    from patients
),

events as (
    select _row, subject_id, time, code from genders
    union all
    select _row, subject_id, time, code from births where time is not null
    union all
    select _row, subject_id, time, code from deaths where time is not null
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
