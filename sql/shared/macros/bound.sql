-- The bound in a comparison, with or without a unit behind it.
-- A titer such as `<1:20` has none, nor has what goes on with another number (`< 5 x 10^9`, `<5mg-10mg`, `<5 and >2`).
create macro bound(said) as
    case when not is_interval(said) then number(
        regexp_extract(
            said,
            '^(?:[<>]=?|[≤⩽≥⩾]|(?:less|greater) than(?: or equal to)?)[\s\x{a0}\x{2009}\x{202f}]*([-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)\s*(?:[a-z%][^:;=<>\s]*(?:\s+[^:;=<>\s0-9][^:;=<>\s]*)*)?\.?$',
            1, 'i'
        )
    ) end
