-- One row is one stay of one person in one unit, and when it was, by times that stand for its own.
-- source: eICU manual, patient (https://eicu-crd.mit.edu/eicutables/patient/)

-- The source has no calendar: times count in minutes from the admission to a unit, and of a discharge the year alone is told.
-- Its persons have several stays in hospitals. Others take each of these for a subject, since nothing orders those of one
-- year; then one person lies in train and in held_out, and no audit can see it. Here the subject is the person, and the stays
-- follow as far as is told: one that ends in death is the last, then by year, then by age. Where no more is told they go by
-- their numbers, which are no order: then what is known of a person at a time may have come later. Each begins a year after
-- the end of the one before, for how long that was is not told either: nothing may be asked about the time between stays.
with units as (
    select
        *,
        case when starts_with(age, '>') then 90 else whole(age) end as years,
        row_number() over (partition by unit_stay order by _row) as nth
    from staging.patient
),

hospital_stays as (
    select
        subject_id, hospital_stay,
        bool_or(coalesce(hospitaldischargestatus = 'Expired', false)) as died,
        min(hospitaldischargeyear) as year,
        min(years) as years,
        max(greatest(hospitaldischargeoffset - hospitaladmitoffset, 0)) as n_minutes
    from units
    group by subject_id, hospital_stay
),

placed as (
    select
        subject_id, hospital_stay,
        $pseudo_epoch::timestamp + to_minutes(coalesce(sum(coalesce(n_minutes, 0) + 365 * 24 * 60) over (
            partition by subject_id
            order by died, year nulls last, years nulls last, hospital_stay
            rows between unbounded preceding and 1 preceding
        ), 0)::bigint) as hospital_begins
    from hospital_stays
)

select
    subject_id, hospital_stay, unit_stay, years, hospital_begins,
    hospital_begins - to_minutes(hospitaladmitoffset) as unit_begins,
    row_number() over (partition by subject_id order by hospital_begins, hospitaladmitoffset desc, units._row) as nth_of_person,
    row_number() over (partition by subject_id, hospital_stay order by hospitaladmitoffset desc, units._row) as nth_of_hospital_stay,
    units._row,
    case when nth > 1 then 'drop:listed_before' end as _reason
from units
left join placed using (subject_id, hospital_stay)
