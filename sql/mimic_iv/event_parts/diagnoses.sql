-- One row is one diagnosis, at the discharge of its hospital stay: it is billed then and would leak before.
-- source: MIMIC-IV manual, hosp/diagnoses_icd (https://mimic.mit.edu/docs/iv/modules/hosp/diagnoses_icd/)

with diagnoses as (
    from staging.diagnoses_icd
),

-- A stay that is listed twice would double its diagnoses: its first record with a discharge speaks.
stays as (
    select
        subject_id, hadm_id,
        first(dischtime order by _row) filter (dischtime is not null) as dischtime,
        first(admittime order by _row) filter (dischtime is not null) as admittime
    from staging.admissions
    group by subject_id, hadm_id
)

-- A discharge that is told to lie before its admission was not known before it.
select
    subject_id, dischtime as time, 'DIAGNOSIS//ICD//' || icd_version || '//' || icd_code as code,
    greatest(dischtime, admittime) as available_time, diagnoses._row,
    case
        when stays.hadm_id is null then 'quarantine:hadm_id:no_admission'
        when dischtime is null then 'quarantine:hadm_id:no_discharge'
    end as _reason
from diagnoses
left join stays using (subject_id, hadm_id)
