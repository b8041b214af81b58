"""A collection of pictures to Parquet: read lazily, worked on by all cores or by Ray, resumable at any moment.

sources.py   what there is to read, in order, without reading it; archives.py what archives hold
reading.py   the bytes of pictures
shards.py    the listing, as a log in the records; names.py, state.py and plan.py what is known, done and left
storage/     what folders and object stores have in common: put, get, list; the lease of one owner; faults
settings.py  what every row of an output was made with
output.py    where parts and records are: folder_output.py (with records.py), store_output.py
worker.py    one task: its pictures to one part
local.py     tasks on the cores of this machine
ray.py       the same tasks on Ray
run.py       the whole run
summary.py   what a finished output says
crops.py     the faces of photographs as crops without labels
"""
