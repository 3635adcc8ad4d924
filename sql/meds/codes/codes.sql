-- One row is the meaning of one code, as the dataset's own metadata gives it.
-- source: MEDS 0.4, CodeMetadataSchema (https://github.com/Medical-Event-Data-Standard/meds)

with codes as (
    select _row, code, description, parent_codes
    from staging.codes
)

select
    code::varchar as code,
    description::varchar as description,
    parent_codes::varchar[] as parent_codes,
    _row::bigint as _row,
    null::varchar as _reason
from codes
