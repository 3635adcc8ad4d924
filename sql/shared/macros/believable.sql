-- What was read, unless it lies outside of what can be; one bound alone may be given.
create macro believable(read, low := null, high := null) as case when read not between low and high then null else read end
