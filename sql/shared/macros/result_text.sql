-- The text of a result; a run of underscores stands where de-identification took it out.
create macro result_text(cell) as
    case when not (starts_with(words(cell), '_') and trim(cell, '_ ') = '') then words(cell) end
