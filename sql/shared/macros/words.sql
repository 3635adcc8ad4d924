-- A text without the blanks around it; null where nothing is left.
create macro words(cell) as nullif(trim(cell), '')
