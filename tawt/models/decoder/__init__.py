"""The decoder: an encoder whose attention is causal, with heads for the next event.

    p(step | h) p(gap | step, h) p(data_type | gap, h) p(status | data_type, ...) p(number or category | status, ...)

`h` is the state of the token before; that of the first event is the state of a [CLS] token, so a record may be begun
from nothing. `step` says what kind of step comes: the record's end, a static fact, an event of the same moment, or of a
later one. So the heads are a marked point process over triplets, and its likelihood is the sum of its parts.
"""
