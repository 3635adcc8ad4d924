-- One row is whether sepsis sets in within the next 6 hours, asked at every hour of a stay before it has.
-- source: Reyna et al. 2020, Early prediction of sepsis from clinical data, Critical Care Medicine 48

with hours as (
    from staging.records
),

-- Onset is 6 hours after the first hour with the label, as the challenge counts it. Of a stay whose first hour has the
-- label it may have been earlier, by at most as much. From its onset on nothing is asked.
placed as (
    select
        *,
        min(hour) filter (where sepsis_label) over (partition by subject_id) + 6 as onset,
        row_number() over (partition by subject_id, hour order by _row) as nth
    from hours
)

select
    subject_id, $pseudo_epoch::timestamp + to_minutes(60 * hour) as prediction_time,
    coalesce(onset <= hour + 6, false) as boolean_value, _row,
    case when sepsis_label is null then 'drop:missing_outcome'
         when nth > 1 then 'drop:listed_before'
         when hour >= onset then 'drop:after_onset' end as _reason
from placed
