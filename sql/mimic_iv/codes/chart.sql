-- One row is the meaning of one code of the ICU chart.
-- source: MIMIC-IV manual, icu/d_items (https://mimic.mit.edu/docs/iv/modules/icu/d_items/)

with d_items as (
    select _row, itemid, label, linksto, category
    from staging.d_items
),

numbered as (
    select *, row_number() over (partition by itemid, linksto order by _row) as nth
    from d_items
)

select
    ('CHART//' || itemid)::varchar as code,
    nullif(concat_ws(', ', label, category), '')::varchar as description,
    []::varchar[] as parent_codes,
    _row::bigint as _row,
    (case
        when linksto is distinct from 'chartevents' then 'drop:not_a_chart_item'
        when nth > 1 then 'drop:listed_before'
    end)::varchar as _reason
from numbered
