-- One row is one value of the monitor at a bed, as the median of five minutes.
-- source: eICU manual, vitalPeriodic (https://eicu-crd.mit.edu/eicutables/vitalperiodic/)

with told as (
    select vitalperiodic.*, subject_id, unit_begins + to_minutes(observationoffset) as time
    from staging.vitalperiodic
    left join links.stays using (unit_stay)
),

events as (
    select _row, subject_id, time, code, numeric_value
    from told unpivot (numeric_value for code in (
        temperature as 'VITAL//temperature',
        sao2 as 'VITAL//sao2',
        heartrate as 'VITAL//heartrate',
        respiration as 'VITAL//respiration',
        cvp as 'VITAL//cvp',
        etco2 as 'VITAL//etco2',
        systemicsystolic as 'VITAL//systemicsystolic',
        systemicdiastolic as 'VITAL//systemicdiastolic',
        systemicmean as 'VITAL//systemicmean',
        pasystolic as 'VITAL//pasystolic',
        padiastolic as 'VITAL//padiastolic',
        pamean as 'VITAL//pamean',
        st1 as 'VITAL//st1',
        st2 as 'VITAL//st2',
        st3 as 'VITAL//st3',
        icp as 'VITAL//icp'
    ))
    union all
    select _row, subject_id, time, null, null
    from told
    where coalesce(
        temperature, sao2, heartrate, respiration, cvp, etco2, systemicsystolic, systemicdiastolic, systemicmean, pasystolic,
        padiastolic, pamean, st1, st2, st3, icp
    ) is null
)

select
    subject_id, time, code, numeric_value, _row,
    case
        when code is null then 'drop:nothing_measured'
        when subject_id is null then 'quarantine:patientunitstayid:no_admission'
    end as _reason
from events
