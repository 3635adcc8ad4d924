-- The name of a unit; null where the cell says that there is none.
create macro unit_text(cell) as case when lower(words(cell)) not in ('none', 'null', 'n/a') then words(cell) end
