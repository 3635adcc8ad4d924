-- One row is one measurement of a MEDS dataset.
-- source: MEDS 0.4, DataSchema (https://github.com/Medical-Event-Data-Standard/meds)

with measurements as (
    select _row, subject_id, time, code, numeric_value, text_value, unit, raw_value, available_time, value_status
    from raw.measurements
),

-- isfinite, because isnan trusts the statistics of the file, which leave NaN out.
judged as (
    select
        *,
        numeric_value::double as number,
        isfinite(numeric_value::double) as is_number,
        nullif(trim(code), '') is null as no_code,
        nullif(text_value, '') as text
    from measurements
),

-- A dataset of this project says what its values are; that is kept where the row bears it out.
stated as (
    select
        *,
        case
            when is_number and value_status in ('censored_low', 'censored_high') then value_status
            when is_number then 'numeric'
            when number is not null then 'unparsed'
            when value_status in ('absent', 'unparsed', 'unit_unknown', 'out_of_range') then value_status
            when text is not null then 'category'
            else 'none'
        end as status
    from judged
)

select
    subject_id::bigint as subject_id,
    time::timestamp as time,
    code::varchar as code,
    (case when is_number then number end)::double as numeric_value,
    text::varchar as text_value,
    nullif(trim(unit), '')::varchar as unit,
    (case when is_number then raw_value else coalesce(raw_value, number::varchar) end)::varchar as raw_value,
    available_time::timestamp as available_time,
    status::varchar as value_status,
    _row::bigint as _row,
    (case
        when subject_id is null then 'quarantine:subject_id:missing'
        when no_code then 'quarantine:code:missing'
        when time is not null and not isfinite(time::timestamp) then 'quarantine:time:out_of_range'
    end)::varchar as _reason
from stated
