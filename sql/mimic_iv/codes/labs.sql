-- One row is the meaning of one code of laboratory results.
-- source: MIMIC-IV manual, hosp/d_labitems (https://mimic.mit.edu/docs/iv/modules/hosp/d_labitems/)

with d_labitems as (
    select _row, itemid, label, fluid, category
    from staging.d_labitems
),

numbered as (
    select *, row_number() over (partition by itemid order by _row) as nth
    from d_labitems
)

select
    ('LAB//RESULT//' || itemid)::varchar as code,
    nullif(concat_ws(', ', label, fluid, category), '')::varchar as description,
    []::varchar[] as parent_codes,
    _row::bigint as _row,
    (case when nth > 1 then 'drop:listed_before' end)::varchar as _reason
from numbered
