-- One row is a registration, an admission, a trait told at admission, or a discharge, of one hospital stay.
-- source: MIMIC-IV manual, hosp/admissions (https://mimic.mit.edu/docs/iv/modules/hosp/admissions/)

with admissions as (
    select
        _row, subject_id, admittime, dischtime, edregtime, edouttime, admission_type, admission_location,
        discharge_location, insurance, language, marital_status, race
    from staging.admissions
),

-- Every stay has an admission; a trait or a time that is empty makes no event of its own.
events as (
    select
        _row, subject_id, admittime as time,
        concat_ws('//', 'HOSPITAL_ADMISSION', coalesce(admission_type, 'UNK'), coalesce(admission_location, 'UNK'))
            as code
    from admissions
    union all
    select _row, subject_id, edregtime, 'ED_REGISTRATION' from admissions where edregtime is not null
    union all
    select _row, subject_id, edouttime, 'ED_OUT' from admissions where edouttime is not null
    union all
    select _row, subject_id, admittime, 'INSURANCE//' || insurance from admissions where insurance is not null
    union all
    select _row, subject_id, admittime, 'LANGUAGE//' || language from admissions where language is not null
    union all
    select _row, subject_id, admittime, 'MARITAL_STATUS//' || marital_status
    from admissions
    where marital_status is not null
    union all
    select _row, subject_id, admittime, 'RACE//' || race from admissions where race is not null
    union all
    select _row, subject_id, dischtime, 'HOSPITAL_DISCHARGE//' || coalesce(discharge_location, 'UNK')
    from admissions
    where dischtime is not null
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
