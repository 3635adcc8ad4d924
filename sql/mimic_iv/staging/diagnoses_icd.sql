-- One row is one diagnosis billed for one hospital stay.
-- source: MIMIC-IV manual, hosp/diagnoses_icd (https://mimic.mit.edu/docs/iv/modules/hosp/diagnoses_icd/)

with diagnoses_icd as (
    select _row, subject_id, hadm_id, icd_code, icd_version
    from raw.diagnoses_icd
),

-- An id with a point is refused: a cast would round it to somebody else's.
typed as (
    select
        *,
        case when not contains(subject_id, '.') then try_cast(subject_id as bigint) end as subject,
        case when not contains(hadm_id, '.') then try_cast(hadm_id as bigint) end as hadm,
        nullif(trim(icd_code), '') as icd,
        try_cast(icd_version as integer) as version
    from diagnoses_icd
)

select
    subject::bigint as subject_id,
    hadm::bigint as hadm_id,
    icd::varchar as icd_code,
    version::integer as icd_version,
    _row::bigint as _row,
    (case
        when subject_id is null then 'quarantine:subject_id:missing'
        when subject is null then 'quarantine:subject_id:unparseable'
        when hadm_id is null then 'quarantine:hadm_id:missing'
        when hadm is null then 'quarantine:hadm_id:unparseable'
        when icd is null then 'quarantine:icd_code:missing'
        when icd_version is null then 'quarantine:icd_version:missing'
        when version is null or version not in (9, 10) then 'quarantine:icd_version:unparseable'
    end)::varchar as _reason
from typed
