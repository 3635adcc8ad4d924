-- Why a record of an image or a waveform cannot be used, from what decoding said of the file that a column names; null where it can.
create macro content_fault(name, fault) as 'quarantine:' || name || ':' || fault
