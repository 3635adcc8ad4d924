-- One row is one measurement at its time since admission, or one trait at admission, which is static.
-- source: PhysioNet Challenge 2012, data description (https://physionet.org/content/challenge-2012/1.0.0/)

-- A file that names another stay in itself belongs to nobody for certain.
with misnamed as (
    select distinct subject_id
    from staging.records
    where parameter = 'RecordID'
),

-- Two traits are classes that the source writes as numbers; a number without a class stays unparsed.
named as (
    select
        *,
        subject_id in (from misnamed) as is_misnamed,
        parameter in ('Age', 'Gender', 'Height', 'ICUType') as is_static,
        value_status = 'numeric' and parameter in ('Gender', 'ICUType') as is_class,
        case parameter
            when 'Gender' then case numeric_value when 0 then 'female' when 1 then 'male' end
            when 'ICUType' then case numeric_value
                when 1 then 'coronary care unit'
                when 2 then 'cardiac surgery recovery unit'
                when 3 then 'medical ICU'
                when 4 then 'surgical ICU'
            end
        end as class
    from staging.records
),

-- The source has clock times only, so every stay begins at one declared day; no other clock is given.
placed as (
    select
        *,
        case when not is_static then
            $pseudo_epoch::timestamp + to_minutes(minutes_since_admission)
        end as time
    from named
)

select
    subject_id,
    time,
    parameter as code,
    case when not is_class then numeric_value end as numeric_value,
    class as text_value,
    case when is_class then printf('%g', numeric_value) else raw_value end as raw_value,
    case
        when is_class and class is null then 'unparsed'
        when is_class then 'category'
        else value_status
    end as value_status,
    is_static,
    _row,
    case when is_misnamed then 'quarantine:Value:another_stay' end as _reason
from placed
