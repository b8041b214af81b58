#!/usr/bin/env bash
# Times of H.264 with B-frames in AVI go back and forth: an AVI file has no times of showing, and those that FFmpeg makes up
# for it, which PyAV hands on as `frame.time`, are in another order than the frames. The same frames in MP4, and MPEG-4 with
# B-frames in AVI, come at even times. Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet av==18.1.0 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys

import av
import numpy

FPS = 10


def times(name, codec):
    """The times of ten frames, each of another grey, in the order in which they are shown; and their greys."""
    path = f"{sys.argv[1]}/{name}"
    with av.open(path, "w") as output:
        stream = output.add_stream(codec, rate=FPS)
        stream.width, stream.height, stream.pix_fmt, stream.options = 64, 64, "yuv420p", {"bf": "2"}
        for number in range(10):
            picture = numpy.full((64, 64, 3), 20 * number, numpy.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    greys = [round(float(frame.to_ndarray(format="gray").mean()) / 20) for frame in frames]
    return [None if frame.time is None else round(float(frame.time), 3) for frame in frames], greys


print("PyAV", av.__version__)
found = {}
for name, codec in (("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.avi", "libx264")):
    seconds, greys = times(name, codec)
    found[name, codec] = all(round(second - first, 3) == 1 / FPS for first, second in zip(seconds, seconds[1:]))
    print(f"{codec} in {name}: frames {greys} at {seconds}")
sys.exit(list(found.values()) != [True, True, False])
PYTHON
