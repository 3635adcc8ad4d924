-- One row is the meaning of one diagnosis code, with its code in the standard vocabulary.
-- source: MIMIC-IV manual, hosp/d_icd_diagnoses (https://mimic.mit.edu/docs/iv/modules/hosp/d_icd_diagnoses/)

-- The hospital leaves the point out: it stands after three characters, in the E codes of ICD-9 after four.
with pointed as (
    select
        *,
        case when icd_version = 9 and starts_with(icd_code, 'E') then 4 else 3 end as n_before,
        row_number() over (partition by icd_version, icd_code order by _row) as nth
    from staging.d_icd_diagnoses
),

named as (
    select
        *,
        case icd_version when 9 then 'ICD9CM/' when 10 then 'ICD10CM/' end
            || left(icd_code, n_before)
            || case when length(icd_code) > n_before then '.' || substr(icd_code, n_before + 1) else '' end
            as parent
    from pointed
)

select
    'DIAGNOSIS//ICD//' || icd_version || '//' || icd_code as code,
    long_title as description,
    [parent] as parent_codes,
    _row,
    case when nth > 1 then 'drop:listed_before' end as _reason
from named
