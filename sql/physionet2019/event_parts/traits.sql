-- One row is one trait of one stay, known at its admission to the ICU, as the first hour that has it tells it.
-- source: PhysioNet Challenge 2019, data description (https://physionet.org/content/challenge-2019/1.0.0/)

with hours as (
    from staging.records
),

-- Each hour says all of them again.
told as (
    select _row, subject_id, hour, 'Age' as code, age as numeric_value, null as text_value from hours where age is not null
    union all
    select _row, subject_id, hour, 'Gender', null, case when is_male then 'male' else 'female' end
    from hours
    where is_male is not null
    union all
    select _row, subject_id, hour, 'Unit1', null, case when is_medical then 'yes' else 'no' end
    from hours
    where is_medical is not null
    union all
    select _row, subject_id, hour, 'Unit2', null, case when is_surgical then 'yes' else 'no' end
    from hours
    where is_surgical is not null
    union all
    select _row, subject_id, hour, 'HospAdmTime', hospital_admission, null from hours where hospital_admission is not null
    union all
    select _row, subject_id, hour, null, null, null
    from hours
    where age is null and is_male is null and is_medical is null and is_surgical is null and hospital_admission is null
),

numbered as (
    select *, row_number() over (partition by subject_id, code order by hour, _row) as nth
    from told
)

select
    subject_id, code, numeric_value, text_value, _row,
    case when code is null then 'drop:nothing_measured' when nth > 1 then 'drop:listed_before' end as _reason
from numbered
