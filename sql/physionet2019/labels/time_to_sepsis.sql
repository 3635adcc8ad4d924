-- One row is when sepsis set in, or up to when it is known not to have, asked once a stay after 6 hours in the ICU.
-- source: Reyna et al. 2020, Early prediction of sepsis from clinical data, Critical Care Medicine 48

with hours as (
    from staging.records
),

-- Onset is 6 hours after the first hour with the label, as the challenge counts it; it leaves out whoever was septic
-- within 4 hours. A stay without the label is censored at its last hour, when it left the ICU: why is not told, so death
-- and recovery are alike. Nobody is followed for longer than two weeks, where the records of the challenge end.
placed as (
    select
        *,
        min(hour) filter (where sepsis_label) over (partition by subject_id) + 6 as onset,
        max(hour) over (partition by subject_id) as last_hour,
        hour >= 6 and sepsis_label is not null as is_asked
    from hours
),

numbered as (
    select *, row_number() over (partition by subject_id, is_asked order by hour, _row) as nth
    from placed
)

select
    subject_id, $pseudo_epoch::timestamp + to_minutes(60 * hour) as prediction_time, onset is not null as boolean_value,
    (coalesce(onset, last_hour) - hour)::double as duration_hours, _row,
    case when sepsis_label is null then 'drop:missing_outcome'
         when not is_asked or nth > 1 then 'drop:not_asked'
         when hour >= onset then 'drop:after_onset'
         when hour >= last_hour and onset is null then 'drop:record_ends' end as _reason
from numbered
