-- One row is one measurement of a MEDS dataset, as it came; a null time is a static fact.
-- source: MEDS 0.4, DataSchema (https://github.com/Medical-Event-Data-Standard/meds)

select
    subject_id, time, code, numeric_value, text_value, unit, raw_value, available_time, value_status, raw_unit, unit_rule,
    time is null as is_static, _row
from staging.measurements
