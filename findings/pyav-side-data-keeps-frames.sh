#!/usr/bin/env bash
# Reading `frame.side_data` (of a display matrix, say) keeps PyAV's frame in memory after the last name for it is gone: the
# frame and its side data refer to each other, so only Python's collector of circles frees the picture, and that counts
# objects, not megabytes. A clip of 120 frames of 1280 x 720 (166 MB of pixels) then needs all of it at once. Exits with 1
# if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import gc
import os
import sys

import av
import numpy

WIDTH, HEIGHT, FRAMES = 1280, 720, 120
path = f"{sys.argv[1]}/clip.mp4"
with av.open(path, "w") as output:
    stream = output.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    for number in range(FRAMES):
        picture = numpy.full((HEIGHT, WIDTH, 3), number, numpy.uint8)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    output.mux(stream.encode(None))


def megabytes():
    with open("/proc/self/statm") as statistics:
        return int(statistics.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(look):
    """Megabytes more in use after a clip was decoded and every frame dropped, and after the collector came by."""
    gc.collect()
    before, collected = megabytes(), gc.get_stats()[2]["collected"]
    with av.open(path) as container:
        for frame in container.decode(video=0):
            look(frame)
        del frame
        kept = megabytes() - before
    gc.collect()
    return round(kept), gc.get_stats()[2]["collected"] - collected


print("PyAV", av.__version__)
growth(lambda frame: None)  # what decoding itself takes
plain = growth(lambda frame: None)
looked = growth(lambda frame: frame.side_data)
print(f"every frame dropped at once: {plain[0]} MB more in use, {plain[1]} objects in circles")
print(f"the same, but its side data looked at: {looked[0]} MB more in use, {looked[1]} objects in circles")
sys.exit(not (plain[0] < 30 and plain[1] < FRAMES and looked[0] > 60 and looked[1] >= FRAMES))
PYTHON
