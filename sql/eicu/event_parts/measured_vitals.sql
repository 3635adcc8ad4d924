-- One row is one value that was measured at a bed at one time, not continuously.
-- source: eICU manual, vitalAperiodic (https://eicu-crd.mit.edu/eicutables/vitalaperiodic/)

with told as (
    select vitalaperiodic.*, subject_id, unit_begins + to_minutes(observationoffset) as time
    from staging.vitalaperiodic
    left join links.stays using (unit_stay)
),

events as (
    select _row, subject_id, time, code, numeric_value
    from told unpivot (numeric_value for code in (
        noninvasivesystolic as 'VITAL//noninvasivesystolic',
        noninvasivediastolic as 'VITAL//noninvasivediastolic',
        noninvasivemean as 'VITAL//noninvasivemean',
        paop as 'VITAL//paop',
        cardiacoutput as 'VITAL//cardiacoutput',
        cardiacinput as 'VITAL//cardiacinput',
        svr as 'VITAL//svr',
        svri as 'VITAL//svri',
        pvr as 'VITAL//pvr',
        pvri as 'VITAL//pvri'
    ))
    union all
    select _row, subject_id, time, null, null
    from told
    where coalesce(
        noninvasivesystolic, noninvasivediastolic, noninvasivemean, paop, cardiacoutput, cardiacinput, svr, svri, pvr, pvri
    ) is null
)

select
    subject_id, time, code, numeric_value, _row,
    case
        when code is null then 'drop:nothing_measured'
        when subject_id is null then 'quarantine:patientunitstayid:no_admission'
    end as _reason
from events
