-- One row is a registration, an admission, a trait told at admission, or a discharge, of one hospital stay.
-- source: MIMIC-IV manual, hosp/admissions (https://mimic.mit.edu/docs/iv/modules/hosp/admissions/)

with admissions as (
    from staging.admissions
),

-- Every stay has an admission; a trait or a time that is empty makes no event of its own. What ends something is not
-- readable before it begins.
events as (
    select
        _row, subject_id, admittime as time, null::timestamp as begins,
        concat_ws('//', 'HOSPITAL_ADMISSION', coalesce(admission_type, 'UNK'), coalesce(admission_location, 'UNK'))
            as code
    from admissions
    union all
    select _row, subject_id, edregtime, null, 'ED_REGISTRATION' from admissions where edregtime is not null
    union all
    select _row, subject_id, edouttime, edregtime, 'ED_OUT' from admissions where edouttime is not null
    union all
    select _row, subject_id, admittime, null, 'INSURANCE//' || insurance from admissions where insurance is not null
    union all
    select _row, subject_id, admittime, null, 'LANGUAGE//' || language from admissions where language is not null
    union all
    select _row, subject_id, admittime, null, 'MARITAL_STATUS//' || marital_status
    from admissions
    where marital_status is not null
    union all
    select _row, subject_id, admittime, null, 'RACE//' || race from admissions where race is not null
    union all
    select _row, subject_id, dischtime, admittime, 'HOSPITAL_DISCHARGE//' || coalesce(discharge_location, 'UNK')
    from admissions
    where dischtime is not null
)

select subject_id, time, code, greatest(time, begins) as available_time, _row
from events
