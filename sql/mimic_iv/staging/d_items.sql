-- One row is one kind of entry in the tables of the ICU.
-- source: MIMIC-IV manual, icu/d_items (https://mimic.mit.edu/docs/iv/modules/icu/d_items/)

with d_items as (
    select _row, itemid, label, linksto, category
    from raw.d_items
),

typed as (
    select *, case when not contains(itemid, '.') then try_cast(itemid as bigint) end as item
    from d_items
)

select
    item::bigint as itemid,
    nullif(trim(label), '')::varchar as label,
    nullif(trim(linksto), '')::varchar as linksto,
    nullif(trim(category), '')::varchar as category,
    _row::bigint as _row,
    (case
        when itemid is null then 'quarantine:itemid:missing'
        when item is null then 'quarantine:itemid:unparseable'
    end)::varchar as _reason
from typed
