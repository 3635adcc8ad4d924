-- One row is one value that was measured at a bed at one time, not continuously.
-- source: eICU manual, vitalAperiodic (https://eicu-crd.mit.edu/eicutables/vitalaperiodic/)

with told as (
    select
        vitalaperiodic.* exclude (unit_stay, observationoffset), subject_id,
        unit_begins + to_minutes(observationoffset) as time,
        coalesce(*columns(vitalaperiodic.* exclude (_row, unit_stay, observationoffset))) as measured
    from staging.vitalaperiodic
    left join links.stays using (unit_stay)
),

events as (
    select _row, subject_id, time, vital, numeric_value
    from told unpivot (numeric_value for vital in (columns(* exclude (_row, subject_id, time, measured))))
    union all
    select _row, subject_id, time, null, null
    from told
    where measured is null
)

select
    subject_id, time, 'VITAL//' || vital as code, numeric_value, _row,
    case
        when vital is null then 'drop:nothing_measured'
        when subject_id is null then 'quarantine:patientunitstayid:no_admission'
    end as _reason
from events
