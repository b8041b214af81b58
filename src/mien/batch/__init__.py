"""A collection of pictures to Parquet: read lazily, worked on by all cores or by Ray, resumable at any moment.

sources.py   what there is to read, in order, without reading it
records.py     what is written beside the parts: settings, manifest, a lock, parts that are not finished
parts.py     the folder that is written: finished parts, and what is done already
work.py      one task: its pictures to one part
processes.py tasks on the cores of this machine
cluster.py   the same tasks on Ray
run.py       the whole run
summary.py   what a finished folder says
"""
