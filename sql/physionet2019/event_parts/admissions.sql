-- One row is the admission of one stay to the ICU, from which its hours count.
-- source: PhysioNet Challenge 2019, data description (https://physionet.org/content/challenge-2019/1.0.0/)

with numbered as (
    select *, row_number() over (partition by subject_id order by hour, _row) as nth
    from staging.records
)

select
    subject_id, $pseudo_epoch::timestamp as time, 'ICU_ADMISSION' as code, _row,
    case when nth > 1 then 'drop:listed_before' end as _reason
from numbered
