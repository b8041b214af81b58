#!/usr/bin/env bash
# onnxruntime's quantizer is told to leave one convolution in float (nodes_to_exclude), as is done with those that are
# sensitive. Its file does: the weights stay float32. But when onnxruntime 1.32.0 loads that file, it quantizes these weights
# itself, with one scale for all filters (WeightBiasQuantization, part of its basic optimizations, since 1.21), wherever
# the neighbours are quantized. With filters of unlike size, as depthwise ones have after batch normalization is folded
# into them, the answers are then worse than had the convolution been quantized with a scale for every filter. Without
# that one optimizer, or without any, they are as good as the file says.
# Exits with 0 while it is so, with 1 once a version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.19.1 numpy==2.3.5
cd "$work"
cat >look.py <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

CHANNELS = 16
rng = np.random.default_rng(0)
sizes = 2.0 ** (-np.arange(CHANNELS) / 2)  # of the filters of the middle convolution


def filters(name, *shape):
    return numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)


middle = (rng.normal(0, 1, (CHANNELS, 1, 3, 3)) * sizes[:, None, None, None]).astype(np.float32)
last = (rng.normal(0, 1, (8, CHANNELS, 1, 1)) / sizes[None, :, None, None] / CHANNELS).astype(np.float32)
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["x", "w1"], ["a"], "first", pads=[1] * 4),
        helper.make_node("Conv", ["a", "w2"], ["b"], "middle", pads=[1] * 4, group=CHANNELS),
        helper.make_node("Clip", ["b", "low", "high"], ["c"], "clip"),
        helper.make_node("Conv", ["c", "w3"], ["y"], "last"),
    ],
    "three",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8, 16, 16])],
    [
        filters("w1", CHANNELS, 3, 3, 3),
        numpy_helper.from_array(middle, "w2"),
        numpy_helper.from_array(last, "w3"),
        numpy_helper.from_array(np.float32(-6), "low"),
        numpy_helper.from_array(np.float32(6), "high"),
    ],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "float.onnx")
images = rng.uniform(-1, 1, (16, 3, 16, 16)).astype(np.float32)


class Images(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"x": images}])

    def get_next(self):
        return next(self.batches, None)


def quantized(excluded):
    quantize_static(
        "float.onnx", "int8.onnx", Images(), quant_format=QuantFormat.QDQ, per_channel=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt16, nodes_to_exclude=excluded,
    )
    return onnx.load("int8.onnx")


def answers(path, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL, without=()):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 3
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
    )
    return session.run(None, {"x": images})[0]


truth = answers("float.onnx")


def error(*how):
    return float(np.sqrt(np.mean((answers("int8.onnx", *how) - truth) ** 2) / np.mean(truth**2)))


every = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
quantized([])
print(f"all three quantized: relative error {error():.4f}")
all_three = error()
model = quantized(["middle"])
kept = [w for w in model.graph.initializer if w.name == "w2"]
print("weights of the excluded one in the file:", "float32" if kept and kept[0].data_type == TensorProto.FLOAT else "other")
as_loaded, without, none = (
    error(), error(every, ["WeightBiasQuantization"]), error(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
)
print(f"the middle one left in float: {as_loaded:.4f}, without that optimizer {without:.4f}, without any {none:.4f}")
sys.exit(not (kept and as_loaded > 2 * without and as_loaded > all_three and abs(without - none) < 0.2 * none))
PYTHON
"$work/env/bin/python" look.py 2>/dev/null || { echo "changed"; exit 1; }
