-- One row is one kind of laboratory result.
-- source: MIMIC-IV manual, hosp/d_labitems (https://mimic.mit.edu/docs/iv/modules/hosp/d_labitems/)

with d_labitems as (
    select _row, itemid, label, fluid, category
    from raw.d_labitems
),

typed as (
    select *, case when not contains(itemid, '.') then try_cast(itemid as bigint) end as item
    from d_labitems
)

select
    item::bigint as itemid,
    nullif(trim(label), '')::varchar as label,
    nullif(trim(fluid), '')::varchar as fluid,
    nullif(trim(category), '')::varchar as category,
    _row::bigint as _row,
    (case
        when itemid is null then 'quarantine:itemid:missing'
        when item is null then 'quarantine:itemid:unparseable'
    end)::varchar as _reason
from typed
