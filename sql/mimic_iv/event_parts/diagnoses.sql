-- One row is one diagnosis, at the discharge of its hospital stay: it is billed then and would leak before.
-- source: MIMIC-IV manual, hosp/diagnoses_icd (https://mimic.mit.edu/docs/iv/modules/hosp/diagnoses_icd/)

with diagnoses_icd as (
    select _row, subject_id, hadm_id, icd_code, icd_version
    from staging.diagnoses_icd
),

admissions as (
    select _row, subject_id, hadm_id, dischtime
    from staging.admissions
),

-- A stay that is listed twice would double its diagnoses: its first record with a discharge speaks.
stays as (
    select subject_id, hadm_id, first(dischtime order by _row) filter (dischtime is not null) as dischtime
    from admissions
    group by subject_id, hadm_id
),

discharged as (
    select diagnoses_icd.*, stays.hadm_id as stay_id, stays.dischtime
    from diagnoses_icd
    left join stays on stays.subject_id = diagnoses_icd.subject_id and stays.hadm_id = diagnoses_icd.hadm_id
)

select
    subject_id::bigint as subject_id,
    dischtime::timestamp as time,
    ('DIAGNOSIS//ICD//' || icd_version || '//' || icd_code)::varchar as code,
    null::double as numeric_value,
    null::varchar as text_value,
    null::varchar as unit,
    null::varchar as raw_value,
    dischtime::timestamp as available_time,
    'none'::varchar as value_status,
    _row::bigint as _row,
    (case
        when stay_id is null then 'quarantine:hadm_id:no_admission'
        when dischtime is null then 'quarantine:hadm_id:no_discharge'
    end)::varchar as _reason
from discharged
