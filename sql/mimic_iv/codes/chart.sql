-- One row is the meaning of one code of the ICU chart.
-- source: MIMIC-IV manual, icu/d_items (https://mimic.mit.edu/docs/iv/modules/icu/d_items/)

with numbered as (
    select *, row_number() over (partition by itemid, linksto order by _row) as nth
    from staging.d_items
)

select
    'CHART//' || itemid as code,
    nullif(concat_ws(', ', label, category), '') as description,
    _row,
    case
        when linksto is distinct from 'chartevents' then 'drop:not_a_chart_item'
        when nth > 1 then 'drop:listed_before'
    end as _reason
from numbered
