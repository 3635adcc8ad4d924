-- One row is one diagnosis code of ICD-9-CM or ICD-10-CM.
-- source: MIMIC-IV manual, hosp/d_icd_diagnoses (https://mimic.mit.edu/docs/iv/modules/hosp/d_icd_diagnoses/)

with d_icd_diagnoses as (
    select _row, icd_code, icd_version, long_title
    from raw.d_icd_diagnoses
),

typed as (
    select *, nullif(trim(icd_code), '') as icd, try_cast(icd_version as integer) as version
    from d_icd_diagnoses
)

select
    icd::varchar as icd_code,
    version::integer as icd_version,
    nullif(trim(long_title), '')::varchar as long_title,
    _row::bigint as _row,
    (case
        when icd is null then 'quarantine:icd_code:missing'
        when icd_version is null then 'quarantine:icd_version:missing'
        when version is null or version not in (9, 10) then 'quarantine:icd_version:unparseable'
    end)::varchar as _reason
from typed
