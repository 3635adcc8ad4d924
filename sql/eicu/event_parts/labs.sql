-- One row is one laboratory result, at the time of its specimen, readable from when it was entered as it is.
-- source: eICU manual, lab (https://eicu-crd.mit.edu/eicutables/lab/)

-- The text is what a hospital sent. Where the number is another, the source has converted it to the usual unit; where it is
-- not, it is in the unit that was sent, whose many spellings matter only where they mean another unit than the usual one.
-- Of oxygen the source took percentages for fractions: the text counts, and up to 1 it is a fraction. A ratio has no unit.
with judged as (
    select
        *,
        labname <> 'FiO2' and value_status in ('numeric', 'absent') and labresult is not null
            and coalesce(abs(labresult - numeric_value) > 0.01 * abs(labresult), true) as is_converted
    from staging.lab
),

labs as (
    select
        * exclude (numeric_value, unit, value_status),
        case when is_converted then labresult else numeric_value end as numeric_value,
        case when is_converted then 'numeric' else value_status end as value_status,
        case
            when labname = 'FiO2' and numeric_value between 0.2 and 1 then 'fraction'
            when lower(labmeasurenameinterface) in ('mg/l', 'mmol/l', 'meq/l', 'umol/l', 'mcmol/l')
                and unit is not null and not is_converted then labmeasurenameinterface
            else nullif(unit, 'ratio')
        end as unit
    from judged
)

select
    subject_id, unit_begins + to_minutes(labresultoffset) as time, 'LAB//' || labname as code, numeric_value, text_value,
    raw_value, unit, value_status, unit_begins + to_minutes(labresultrevisedoffset) as available_time, labs._row,
    case when subject_id is null then 'quarantine:patientunitstayid:no_admission' end as _reason
from labs
left join links.stays using (unit_stay)
