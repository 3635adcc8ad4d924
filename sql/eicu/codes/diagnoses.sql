-- One row is the meaning of one diagnosis, with its codes in the standard vocabularies.
-- source: eICU manual, diagnosis (https://eicu-crd.mit.edu/eicutables/diagnosis/)

-- Codes of both vocabularies stand in one cell. Those of ICD-9 begin with a digit, with V and two digits or with E and three;
-- an E of ICD-10 has two before its point.
with numbered as (
    select *, row_number() over (partition by diagnosisstring order by icd9code is null, _row) as nth
    from staging.diagnosis
),

parted as (
    select
        *,
        list_filter(list_transform(string_split(icd9code, ','), lambda one: upper(trim(one))), lambda one: one <> '') as icd
    from numbered
)

select
    'DIAGNOSIS//' || diagnosisstring as code,
    replace(diagnosisstring, '|', ', ') as description,
    list_transform(
        icd,
        lambda one: case when regexp_matches(one, '^([0-9]|V[0-9]{2}(\.|$)|E[0-9]{3})') then 'ICD9CM/' else 'ICD10CM/' end || one
    ) as parent_codes,
    _row,
    case when nth > 1 then 'drop:listed_before' end as _reason
from parted
