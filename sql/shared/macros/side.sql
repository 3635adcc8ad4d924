-- On which side of its bound a result lies, where it is a comparison (`<0.01`, `≤ 5`, `LESS THAN 5`, `> 80 mg/L`).
-- The first letter is tested before anything dearer: few of millions of results are a comparison.
create macro side(said) as
    case
        when starts_with(said, '<') then 'censored_low'
        when starts_with(said, '>') then 'censored_high'
        when left(said, 1) in ('≤', '⩽') then 'censored_low'
        when left(said, 1) in ('≥', '⩾') then 'censored_high'
        when left(said, 1) in ('L', 'l') and starts_with(upper(said), 'LESS THAN') then 'censored_low'
        when left(said, 1) in ('G', 'g') and starts_with(upper(said), 'GREATER THAN') then 'censored_high'
    end
