"""What `golden.py` runs: a name, and the command lines below it, as a user would type them after `mien`.

They run one after another in a folder of their own, which has `input/` (made by `golden_inputs.py`) and, for the
cases of real data, `real/`. `< FILE` gives a file to stdin. A line that begins with `python` runs a script of tests/.
A case's golden is named after the case: when an option is renamed, edit the line here, and `RENAMED` below.
"""

from __future__ import annotations

RENAMED_OPTIONS: dict[str, str] = {
    "--out": "--output",
    "--to": "--output",
    "--record": "--output",
    "plain_epochs": "clean_epochs",
    "small_epochs": "low_res_epochs",
    "small_view": "low_res_view",
    "frozen_epochs": "head_epochs",
    "frozen_learning_rate": "head_learning_rate",
    "held_back": "calibration_fraction",
}
"""Option, setting or command, as goldens have it -> its name now: in help, messages and the pages' command lines."""

RENAMED_KEYS: dict[str, str] = {"certain": "selective_prediction", "undamaged": "uncorrupted"}
"""Key of JSON, or column, as goldens have it -> as it is called now."""

COMMANDS = (
    "image", "demo", "bench", "models", "explain", "video", "camera", "serve", "batch", "summarize", "data", "crops",
    "train", "train-detector", "distill", "ensemble", "evaluate", "card", "study", "agree", "audit",
    "audit-model",
)  # fmt: skip

IMAGES = {
    "image-table": ["image input/pictures"],
    "image-json": ["image input/pictures --format json --model mien-s"],
    "image-jsonl": ["image input/pictures --format jsonl"],
    "image-csv": ["image input/pictures --format csv --model mien-s"],
    "image-csv-file": ["image input/pictures --format csv --output faces.csv"],
    "image-parquet": ["image input/pictures --format parquet --output faces.parquet --model mien-s"],
    "image-mixed": ["image input/mixed --format csv"],
    "image-stdin": ["image - --format json < input/pictures/hopper.jpg"],
    "image-aggregate": [
        "image input/pictures --aggregate --min-group 2 --format json",
        "image input/pictures --aggregate --by folder --min-group 2",
    ],
    "image-min-quality": ["image input/pictures --min-quality 0.9 --format json --model mien-s"],
    "image-haar": ["image input/pictures --detector haar --format json --model mien-s"],
    "image-detector-size": ["image input/pictures --detector-size 320 --format json"],
    "image-model": ["image input/pictures --model input/brightness --format json"],
    "image-drawn": ["image input/pictures --annotate drawn --chart charts"],
    "image-blurred": ["image input/pictures --annotate drawn --blur-faces"],
    "explain": ["explain input/pictures --output why"],
    "explain-emotion": ["explain input/pictures/hopper.jpg --emotion sad --output why"],
    "demo": ["demo --output drawn"],
    "models": ["models", "--version"],
    "bench": ["bench --duration 0.1 --format json", "bench --duration 0.1"],
}

CLIPS = {
    "video-table": ["video input/story.mkv --every 10"],
    "video-json": ["video input/story.mkv --every 10 --format json --model mien-s"],
    "video-jsonl": ["video input/story.mkv --every 25 --format jsonl"],
    "video-csv": ["video input/story.mkv --fps 5 --end 1 --format csv --model mien-s"],
    "video-parquet": [
        "video input/story.mkv --every 10 --format parquet --output faces.parquet --model mien-s"
    ],
    "video-span": [
        "video input/story.mkv --start 0.5 --end 1 --every 3 --format csv --smoothing 0 --patience 0.2"
    ],
    "video-min-quality": ["video input/story.mkv --every 10 --min-quality 0.9 --format csv"],
    "video-report": ["video input/story.mkv --report page.html --every 5"],
    "video-bare-report": ["video input/story.mkv --report page.html --no-thumbnails --every 10"],
    "video-drawn": ["video input/story.mkv --annotate drawn.mp4 --every 5"],
    "video-blurred": ["video input/story.mkv --annotate drawn.mp4 --blur-faces --every 5"],
    "video-aggregate": ["video input/story.mkv --aggregate --min-group 2 --format json"],
    "camera-folder": ["camera input/frames --no-web --output faces.csv"],
    "camera-json": ["camera input/frames --no-web --output faces.json --model mien-s"],
    "camera-parquet": ["camera input/frames --no-web --output faces.parquet"],
    "camera-clip": ["camera input/slow.mkv --no-web --output faces.jsonl"],
}

COLLECTIONS = {
    "batch": [
        "batch input/pictures --output faces",
        "summarize faces --format json",
        "summarize faces --by folder",
    ],
    # Of a partition: its groups have relative names, and a chart shows them.
    "batch-chart": [
        "batch input/pictures --output faces --partition folder",
        "summarize faces --by folder --chart shares.png",
    ],
    "batch-partitioned": [
        "batch input/pictures --output faces --partition folder --part-size 2 --min-quality 0.5 --min-size 60"
        " --model mien-s",
        "summarize faces --by folder --format json",
        "summarize faces --min-group 2",
    ],
    "batch-goes-on": ["batch input/pictures --output faces", "batch input/pictures --output faces"],
    "crops": ["crops input/pictures --output crops.parquet"],
    "batch-mixed": ["batch input/mixed --output faces --workers 1 --decode-side 300"],
}

DATASETS = {
    "data": ["data input/faces"],
    "evaluate-json": ["evaluate input/faces --format json --model mien-s"],
    "evaluate-table": ["evaluate input/faces", "evaluate input/faces --split train"],
    "evaluate-heads": [
        f"evaluate input/faces --head {head} --format json"
        for head in ("fer2013", "ferplus", "labels", "expression")
    ],
    "evaluate-report": ["evaluate input/faces --output report"],
    "evaluate-bare-report": ["evaluate input/faces --output report --no-thumbnails --format json"],
    "evaluate-robustness": ["evaluate input/faces --robustness --format json --model input/brightness"],
    "evaluate-compare": [
        "evaluate input/faces --compare mien-s input/brightness --format json",
        "evaluate input/faces --compare mien-s input/brightness --output report",
    ],
    "audit-json": ["audit input/faces --format json"],
    "audit": ["audit input/faces --output audit"],
    "audit-clean": [
        "audit input/faces --model mien-s --clean list.csv --drop-wrong-labels",
        "audit input/faces --clean clean.parquet --output audit --no-thumbnails",
    ],
    "audit-model": ["audit-model input/faces --output audit --no-robustness --format json"],
    "audit-model-groups": [
        "audit-model input/faces --output audit --group light --model input/brightness",
        "audit-model input/faces --output audit2 --group light --no-robustness --format json --head fer2013",
    ],
    "card": ["card input/faces --model input/brightness --output card.md"],
}

WRONG = {
    "wrong-usage": [
        "image",
        "nonsense",
        "image input/pictures --format xml",
        "image input/pictures --format parquet",
        "image input/pictures --min-quality 2",
        "image input/pictures --by folder",
        "image input/pictures --blur-faces",
        "image input/pictures --aggregate --format csv",
        "image input/pictures --model nobody",
        "image input/pictures --detector nobody",
        "image input/pictures --detector-size 7",
        "video input/story.mkv --every 2 --fps 5",
        "video input/story.mkv --start 3 --end 1",
        "video input/story.mkv --no-thumbnails",
        "camera input/frames --output faces.xlsx",
        "explain input/pictures/hopper.jpg --emotion bored",
        "serve --port 70000",
        "serve --host nowhere.invalid",
        "batch input/pictures",
        "batch input/pictures --output faces --address x",
        "crops input/pictures --output crops.csv",
        "evaluate input/faces --split holiday",
        "evaluate input/faces --head nobody",
        "evaluate input/faces --compare mien-s",
        "evaluate input/faces --output input/faces/report",
        "evaluate input/faces --no-thumbnails",
        "audit input/faces --drop-wrong-labels",
        "audit input/faces --clean list.txt",
        "audit-model input/faces --output audit --groups input/faces/groups.csv",
        "audit-model input/faces --output audit --group age --no-robustness",
        "train input/faces --output run --network nobody",
        "train input/faces --output run --set nonsense=1",
    ],
    "bad-input": [
        "image missing.jpg",
        "image input/empty",
        "image input/mixed/text.jpg --format json",
        "image input/mixed/cut.jpg --format json",
        "image input/mixed/empty.png",
        "image - < input/mixed/text.jpg",
        "explain input/mixed/text.jpg",
        "explain input/blank.png",
        "bench input/mixed/text.jpg",
        "video missing.mp4",
        "video input/empty",
        "video input/text.mp4 --format json",
        "camera missing.mp4",
        "camera 97",
        "camera input/empty",
        "batch missing --output faces",
        "batch input/empty --output faces2",
        "summarize missing",
        "summarize input/empty",
        "crops missing --output crops.parquet",
        "data missing",
        "data input/empty",
        "data input/text.csv",
        "evaluate missing.csv",
        "evaluate input/text.parquet",
        "audit input/text.csv",
        "audit-model input/empty --output audit",
        "train missing --output run",
        "distill missing --teacher mien-s --output soft.npz",
        "ensemble missing --member mien-s --member mien-s --output both",
        "train-detector missing --output run",
    ],
}

INTERFACES = {
    "help": ["--help", *(f"{command} --help" for command in COMMANDS)],
    "api-signatures": ["python golden_api.py signatures"],
    "api-values": ["python golden_api.py values"],
    "server": ["python golden_server.py"],
}

REAL = {
    "real-image-table": ["image real/photos"],
    "real-image-json": ["image real/photos --format json"],
    "real-image-csv": ["image real/photos --format csv"],
    "real-image-parquet": ["image real/photos --format parquet --output faces.parquet"],
    "real-image-haar": ["image real/photos --detector haar --format json"],
    "real-image-yunet": ["image real/photos --detector real/yunet.onnx --format json"],
    "real-image-quality": ["image real/photos --min-quality 0.5 --format json"],
    "real-image-aggregate": ["image real/photos --aggregate --format json"],
    "real-image-drawn": ["image real/photos --annotate drawn --chart charts"],
    "real-image-blurred": ["image real/photos --annotate drawn --blur-faces"],
    "real-explain": ["explain real/photos/faceapi_happy.jpg real/photos/facetorch_test.jpg --output why"],
    "real-video-table": ["video real/videos --every 20"],
    "real-video-json": ["video real/videos --every 5 --format json"],
    "real-video-csv": ["video real/videos/fer_test.mp4 --format csv"],
    "real-video-parquet": ["video real/videos --fps 5 --format parquet --output faces.parquet"],
    "real-video-span": ["video real/videos/fer_test.mp4 --start 1 --end 2.5 --format csv"],
    "real-video-report": ["video real/videos --report pages --annotate drawn --every 5 --format csv"],
    "real-video-aggregate": ["video real/videos --aggregate --every 3 --format json"],
    "real-batch": ["batch real/photos --output faces", "summarize faces --format json"],
    "real-batch-partitioned": [
        "batch real --output faces --partition folder --part-size 3 --decode-side 600",
        "summarize faces --by folder --chart shares.png",
    ],
    "real-data": ["data real/part.parquet"],
    "real-evaluate-json": ["evaluate real/part.parquet --format json"],
    "real-evaluate-heads": [
        f"evaluate real/part.parquet --head {head}" for head in ("fer2013", "ferplus", "expression")
    ],
    "real-evaluate-report": ["evaluate real/part.parquet --output report"],
    "real-evaluate-robustness": ["evaluate real/small.parquet --robustness --format json"],
    "real-evaluate-compare": [
        "evaluate real/part.parquet --compare mien-s input/brightness --format json",
        "evaluate real/part.parquet --compare mien-s input/brightness --output report",
    ],
    "real-audit": ["audit real/part.parquet --output audit --model mien-s --clean list.csv --format json"],
    "real-audit-model": ["audit-model real/part.parquet --output audit --no-robustness --format json"],
    "real-audit-model-damaged": ["audit-model real/small.parquet --output audit --group usage"],
    "real-card": ["card real/small.parquet --output card.md"],
}  # fmt: skip

GENERATED = IMAGES | CLIPS | COLLECTIONS | DATASETS | WRONG | INTERFACES

NUMBERLESS = ("bench",)
"""Cases whose numbers are measured times: compared without any number."""

STABLE = (
    "image-json", "image-csv", "image-parquet", "image-haar", "image-model", "image-min-quality", "image-aggregate",
    "video-json", "video-csv", "video-parquet", "camera-json", "batch-partitioned", "evaluate-json", "audit-json",
)  # fmt: skip
"""Cases that write numbers alone, no prose and no pictures, of a model that calculates in float32: the same in every
version of the libraries and on every processor, nearly."""
