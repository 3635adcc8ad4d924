-- One row is whether sepsis sets in within 6 hours or has done so, asked at every hour of a stay, as in the challenge.
-- source: Reyna et al. 2020, Early prediction of sepsis from clinical data, Critical Care Medicine 48

with hours as (
    from staging.records
),

-- The label is the challenge's own, for figures that can be held to published ones: of a septic stay it is yes from 6
-- hours before the onset to the end of its record, which is cut off about 3 hours after the onset. Most of the yes rows
-- ask for what is there already, and what is known then may tell of its treatment: `sepsis_onset_6h` asks before it.
numbered as (
    select *, row_number() over (partition by subject_id, hour order by _row) as nth
    from hours
)

select
    subject_id, $pseudo_epoch::timestamp + to_minutes(60 * hour) as prediction_time, sepsis_label as boolean_value, _row,
    case when sepsis_label is null then 'drop:missing_outcome' when nth > 1 then 'drop:listed_before' end as _reason
from numbered
