"""Images and other modalities beside the record: an event has a code and a time as any other, its content lies here.

A workspace's `contents/` holds each content once, as a mapped array; its `content_events/` says which event has which.
"""
