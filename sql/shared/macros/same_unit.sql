-- Whether two units may be one, by their letters alone; where one is not told, they may.
create macro same_unit(one, other) as
    one is null or other is null
    or lower(regexp_replace(one, '[\s().^*]', '', 'g')) = lower(regexp_replace(other, '[\s().^*]', '', 'g'))
