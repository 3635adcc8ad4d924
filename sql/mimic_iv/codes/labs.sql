-- One row is the meaning of one code of laboratory results.
-- source: MIMIC-IV manual, hosp/d_labitems (https://mimic.mit.edu/docs/iv/modules/hosp/d_labitems/)

with numbered as (
    select *, row_number() over (partition by itemid order by _row) as nth
    from staging.d_labitems
)

select
    'LAB//RESULT//' || itemid as code,
    nullif(concat_ws(', ', label, fluid, category), '') as description,
    _row,
    case when nth > 1 then 'drop:listed_before' end as _reason
from numbered
