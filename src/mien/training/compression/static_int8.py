"""Networks that calculate in int8: about twice as fast on processors with VNNI, and a quarter of float32 in size.

Post-training static quantization (Krishnamoorthi, arXiv 1806.08342, sections 3.1 and 3.2), by onnxruntime's own
quantizer: weights symmetric per filter, activations from the least to the greatest value that images give.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from mien.errors import ExportError
from mien.models.onnx_runtime import open_session, write_fused
from mien.training.compression.weights import checked, with_full_weights, with_int8_weights

Progress = Callable[[int, int], None]

FLOAT_LAYERS = 10
"""This many convolutions stay in float32, those that change the answers most when they alone are quantized."""

IMAGES, FEW = 1024, 256
"""Images that the ranges of activations are taken from, and those by which convolutions are ranked."""

_BATCH = 64
_LEAST_OPSET = 13  # the first that can scale every filter by itself

# Sums of residual branches stay in float32: to quantize them costs more answers than time.
_QUANTIZED = ("Conv", "Clip", "Relu", "GlobalAveragePool")


def with_int8_arithmetic(
    model: bytes,
    images: NDArray[np.uint8],
    *,
    float_layers: int = FLOAT_LAYERS,
    progress: Progress = lambda *_: None,
) -> tuple[bytes, list[str]]:
    """An ONNX model whose convolutions are calculated in int8, all but those that change its answers most.

    Weights get seven bits: with eight, processors without VNNI add pairs of products beyond 16 bits and clip the sum,
    so that they would answer otherwise than those with it.

    Args:
        model: one input, uint8 images; outputs are probabilities.
        images: (n, ...) like the ones it will see, of which none will score it; 1,024 are enough.
        float_layers: so many convolutions stay in float32.
        progress: called with (done, total).

    Returns:
        The model, and the names of the convolutions that stayed in float32, the most sensitive first.

    Raises:
        ExportError: it has no convolution, or too old a set of operators.
    """
    with TemporaryDirectory() as folder:
        fused = Path(folder) / "fused.onnx"
        _fuse(model, fused)
        layers = _convolutions(fused)
        progress(0, len(layers) + 1)
        ranges = _ranges(fused, images)
        kept: list[str] = []
        if float_layers:
            ranked = _by_sensitivity(
                fused, ranges, layers, images[:FEW], lambda done: progress(done, len(layers) + 1)
            )
            kept = ranked[:float_layers]
        quantized = with_int8_weights(_quantized(fused, ranges, excluded=kept))
        progress(len(layers) + 1, len(layers) + 1)
        return quantized, kept


def _fuse(model: bytes, path: Path) -> None:
    """Write the model with its constants folded, so that offsets and batch normalization are inside of convolutions."""
    write_fused(with_full_weights(model), path)
    fused = onnx.load(path)
    used = {node.domain for node in fused.graph.node}
    versions = [entry for entry in fused.opset_import if entry.domain in used]
    newest = max(entry.version for entry in versions if entry.domain in ("", "ai.onnx"))
    if newest < _LEAST_OPSET:
        raise ExportError(
            f"operators of ONNX' set {newest}, expected {_LEAST_OPSET} or newer; export the model anew"
        )
    del fused.opset_import[:]
    fused.opset_import.extend(versions)
    path.write_bytes(checked(fused))


def _convolutions(path: Path) -> list[str]:
    layers = [node.name for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    if not layers or not all(layers):
        raise ExportError("a network without convolutions that have names; expected one that mien exported")
    return layers


def _ranges(path: Path, images: NDArray[np.uint8]) -> Any:
    """The least and the greatest value of every activation on the images, as onnxruntime's quantizer wants them."""
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    calibrator = create_calibrator(
        path,
        list(_QUANTIZED),
        augmented_model_path=str(path.with_name("augmented.onnx")),
        calibrate_method=CalibrationMethod.MinMax,
    )
    calibrator.collect_data(_reader(path, images))
    return calibrator.compute_data()


def _by_sensitivity(
    path: Path,
    ranges: Any,
    layers: Sequence[str],
    images: NDArray[np.uint8],
    progress: Callable[[int], None],
) -> list[str]:
    """The convolutions by how much the answers change when one alone is quantized, the most sensitive first."""
    expected = _answers(path.read_bytes(), images)
    changes = {}
    for number, layer in enumerate(layers):
        progress(number + 1)
        changed = _answers(_quantized(path, ranges, only=[layer]), images)
        changes[layer] = float(np.sqrt(np.mean((changed - expected) ** 2)))
    return sorted(changes, key=lambda layer: -changes[layer])


def _quantized(path: Path, ranges: Any, *, only: Sequence[str] = (), excluded: Sequence[str] = ()) -> bytes:
    """The network with all convolutions quantized, or only some."""
    from onnxruntime.quantization import QDQQuantizer, QuantType

    network = onnx.load(path)
    nodes = only or [node.name for node in network.graph.node if node.op_type in _QUANTIZED]
    with _silent():
        quantizer = QDQQuantizer(
            network,
            per_channel=True,
            reduce_range=True,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=list(nodes),
            nodes_to_exclude=list(excluded),
            op_types_to_quantize=list(_QUANTIZED),
            extra_options={},
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()
    _keep_in_float(quantizer.model.model.graph)
    return checked(quantizer.model.model)


def _keep_in_float(graph: onnx.GraphProto) -> None:
    """Make the runtime leave those convolutions in float32 that are not quantized.

    onnxruntime quantizes the weights of a float convolution, with one scale for all filters, when it loads the model:
    where one scale of all channels makes its input, and its output is quantized (WeightBiasQuantization, since 1.21).
    So its input gets the same scale once for every channel.
    """
    makers = {node.output[0]: node for node in graph.node}
    stored = {weight.name: weight for weight in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "Conv" else None
        # The weights of a quantized one are made by a node; those of a float one lie in the file.
        if before is not None and before.op_type == "DequantizeLinear" and node.input[1] in stored:
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            channels = stored[node.input[1]].dims[1] * groups
            given, made = before.input[0], f"{node.name}_float"
            inputs = [given]
            for name in before.input[1:]:
                values = np.repeat(numpy_helper.to_array(stored[name]).reshape(1), channels)
                inputs.append(f"{made}_{name}")
                graph.initializer.append(numpy_helper.from_array(values, inputs[-1]))
            nodes.append(helper.make_node("DequantizeLinear", inputs, [made], name=made, axis=1))
            node.input[0] = made
        nodes.append(node)
    used = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    del graph.node[:]
    graph.node.extend(node for node in nodes if used.intersection(node.output))


def _reader(path: Path, images: NDArray[np.uint8]) -> Any:
    """What gives onnxruntime's quantizer its batches."""
    from onnxruntime.quantization import CalibrationDataReader

    name = onnx.load(path).graph.input[0].name

    class Batches(CalibrationDataReader):  # type: ignore[misc] # the package has no types
        def __init__(self) -> None:
            self._batches = iter(images[i : i + _BATCH] for i in range(0, len(images), _BATCH))

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self._batches, None)
            return None if batch is None else {name: batch}

    return Batches()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the quantizer's advice to prepare the model, which has been done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _answers(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probabilities of all outputs, (n, all labels of all outputs)."""
    session = open_session(model, Path("quantized.onnx"), ExportError)
    name = session.get_inputs()[0].name
    parts = [
        np.concatenate(session.run(None, {name: images[i : i + _BATCH]}), axis=1)
        for i in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)
