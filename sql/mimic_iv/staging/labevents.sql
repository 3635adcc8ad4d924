-- One row is one laboratory result of one specimen.
-- source: MIMIC-IV manual, hosp/labevents (https://mimic.mit.edu/docs/iv/modules/hosp/labevents/)

with labevents as (
    select _row, subject_id, itemid, charttime, storetime, priority, value, valuenum, valueuom
    from raw.labevents
),

-- An id with a point is refused: a cast would round it to somebody else's.
typed as (
    select
        *,
        case when not contains(subject_id, '.') then try_cast(subject_id as bigint) end as subject,
        case when not contains(itemid, '.') then try_cast(itemid as bigint) end as item,
        try_cast(charttime as timestamp) as charted,
        try_cast(storetime as timestamp) as stored,
        nullif(trim(valueuom), '') as unit_text,
        nullif(trim(value), '') as value_text,
        try_cast(valuenum as double) as number
    from labevents
),

-- A run of underscores stands where de-identification took the text out.
blanked as (
    select
        * replace (
            case when not (starts_with(value_text, '_') and trim(value_text, '_ ') = '') then value_text end
                as value_text
        ),
        unit_text is null or lower(unit_text) in ('none', 'null', 'n/a') as no_unit
    from typed
),

-- The first character is tested before anything dearer: few of millions of values are a comparison.
compared as (
    select
        *,
        case
            when starts_with(value_text, '<') then 'censored_low'
            when starts_with(value_text, '>') then 'censored_high'
            when left(value_text, 1) in ('L', 'l') and starts_with(upper(value_text), 'LESS THAN')
                then 'censored_low'
            when left(value_text, 1) in ('G', 'g') and starts_with(upper(value_text), 'GREATER THAN')
                then 'censored_high'
        end as side
    from blanked
),

-- The text gives the bound, with or without a unit behind it; a titer such as `<1:20` is no number.
bounded as (
    select
        *,
        case when side is not null then
            coalesce(
                try_cast(regexp_extract(
                    value_text,
                    '^(?:[<>]=?|(?:less|greater) than(?: or equal to)?)\s*([-+]?[0-9]*\.?[0-9]+)\s*(?:[a-z%][^:]*)?\.?$',
                    1, 'i'
                ) as double),
                number
            )
        end as bound,
        case when side is null and (valuenum is null or number is null and trim(valuenum) = '') then
            try_cast(value_text as double)
        end as number_in_text
    from compared
),

judged as (
    select
        *,
        case
            when isfinite(bound) then side
            when isfinite(number) then 'numeric'
            when trim(valuenum) <> '' then 'unparsed'
            when isfinite(number_in_text) then 'numeric'
            when number_in_text is not null then 'unparsed'
            when value_text is not null then 'category'
            else 'absent'
        end as status
    from bounded
)

select
    subject::bigint as subject_id,
    item::bigint as itemid,
    charted::timestamp as charttime,
    stored::timestamp as storetime,
    nullif(trim(priority), '')::varchar as priority,
    (case
        when status = 'numeric' then coalesce(number, number_in_text)
        when status in ('censored_low', 'censored_high') then bound
    end)::double as numeric_value,
    (case when status = 'category' then value_text end)::varchar as text_value,
    (case
        when status = 'numeric' and value_text <> valuenum and try_cast(value_text as double) is null
            then value_text
        when status in ('censored_low', 'censored_high') then value_text
        when status = 'unparsed' then coalesce(nullif(trim(valuenum), ''), value_text)
    end)::varchar as raw_value,
    (case when not no_unit then unit_text end)::varchar as unit,
    status::varchar as value_status,
    _row::bigint as _row,
    (case
        when subject_id is null then 'quarantine:subject_id:missing'
        when subject is null then 'quarantine:subject_id:unparseable'
        when itemid is null then 'quarantine:itemid:missing'
        when item is null then 'quarantine:itemid:unparseable'
        when charttime is null then 'quarantine:charttime:missing'
        when charted is null then 'quarantine:charttime:unparseable'
        when charted not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:charttime:out_of_range'
        when storetime is not null and stored is null then 'quarantine:storetime:unparseable'
        when stored not between $earliest_time::timestamp and $latest_time::timestamp
            then 'quarantine:storetime:out_of_range'
    end)::varchar as _reason
from judged
