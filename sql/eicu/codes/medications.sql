-- One row is the meaning of one number of ingredients: a name under which the drug was ordered.
-- source: eICU manual, medication (https://eicu-crd.mit.edu/eicutables/medication/)

-- The name that is ordered most often speaks.
with counted as (
    select *, count(*) over (partition by drughiclseqno, lower(drugname)) as n
    from staging.medication
),

numbered as (
    select
        *,
        row_number() over (partition by drughiclseqno order by drugname is null, n desc, lower(drugname), _row) as nth
    from counted
)

select
    'MEDICATION//HICL//' || drughiclseqno::bigint as code, lower(drugname) as description, _row,
    case when drughiclseqno is null then 'drop:no_number' when nth > 1 then 'drop:listed_before' end as _reason
from numbered
