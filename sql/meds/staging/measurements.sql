-- One row is one measurement of a MEDS dataset.
-- source: MEDS 0.4, DataSchema (https://github.com/Medical-Event-Data-Standard/meds)

with read as (
    select
        _row,
        whole(subject_id) as subject_id, subject_id as subject_id_cell,
        moment(time, $zone) as time, time as time_cell,
        words(code) as named, code,
        number(numeric_value) as number, numeric_value as number_cell,
        nullif(text_value, '') as text_value,
        words(unit) as unit,
        raw_value, words(raw_unit) as raw_unit, words(unit_rule) as unit_rule,
        moment(available_time, $zone) as available_time, available_time as available_time_cell,
        value_status as stated
    from raw.measurements
)

-- A dataset of this project says what its values are; that is kept where the row bears it out.
select
    subject_id,
    time,
    code,
    number as numeric_value,
    text_value,
    unit,
    case when number is not null then raw_value else coalesce(raw_value, number_cell) end as raw_value,
    raw_unit,
    unit_rule,
    available_time,
    case
        when number is not null and stated in ('censored_low', 'censored_high') then stated
        when number is not null then 'numeric'
        when number_cell is not null then 'unparsed'
        when stated in ('absent', 'unparsed', 'unit_unknown', 'out_of_range') then stated
        when text_value is not null then 'category'
        else 'none'
    end as value_status,
    _row,
    coalesce(
        key_fault('subject_id', subject_id_cell, subject_id),
        key_fault('code', code, named),
        case when time_cell is not null then key_fault('time', time_cell, time) end
    ) as _reason,
    cell_fault('available_time', available_time_cell, available_time) as _faults
from read
