-- A cell; null where it is one of the marks that stand for a missing one.
create macro unmarked(cell, marks) as case when not list_contains(marks, trim(cell)) then cell end
