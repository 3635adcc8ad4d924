-- One row is a person's gender, birth or death.
-- source: MIMIC-IV manual, hosp/patients (https://mimic.mit.edu/docs/iv/modules/hosp/patients/)

with patients as (
    from staging.patients
),

-- A death in a stay is not known before that begins.
first_deaths as (
    select subject_id, min(deathtime) as deathtime, min(admittime) filter (deathtime is not null) as admittime
    from staging.admissions
    group by subject_id
),

-- A death outside the hospital is known by its day alone: it counts from the end of that day.
deaths as (
    select
        patients._row, subject_id, coalesce(deathtime, dod + interval '23:59:59') as time, admittime,
        'MEDS_DEATH' as code
    from patients
    left join first_deaths using (subject_id)
),

-- The year of birth is all that is known; an age of 91 stands for every age above 89.
births as (
    select
        _row, subject_id,
        believable(
            make_timestamp(anchor_year - anchor_age, 1, 1, 0, 0, 0), $earliest_time::timestamp, $latest_time::timestamp
        ) as time,
        'MEDS_BIRTH' as code
    from patients
),

events as (
    select _row, subject_id, null::timestamp as time, null::timestamp as begins,
        'GENDER//' || coalesce(gender, 'UNK') as code
    from patients
    union all
    select _row, subject_id, time, null, code from births where time is not null
    union all
    select _row, subject_id, time, admittime, code from deaths where time is not null
)

select subject_id, time, code, greatest(time, begins) as available_time, _row
from events
