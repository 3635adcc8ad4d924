-- One row is what a MEDS dataset says of one code.
-- source: MEDS 0.4, CodeMetadataSchema (https://github.com/Medical-Event-Data-Standard/meds)

with codes as (
    select _row, code, description, parent_codes
    from raw.codes
)

select
    code::varchar as code,
    nullif(trim(description), '')::varchar as description,
    parent_codes::varchar[] as parent_codes,
    _row::bigint as _row,
    (case when nullif(trim(code), '') is null then 'quarantine:code:missing' end)::varchar as _reason
from codes
