"""onnxruntime, which nothing else imports: silent, and with the settings that every network of mien runs with.

Since 1.29 its wheels for Linux and macOS report to their maker. `mien/__init__.py`, which runs before this file,
has set ORT_DISABLE_TELEMETRY, which onnxruntime reads once, while it is loaded; it then neither reports nor writes an
identifier of the machine into the home folder. docs/explanation/trust.md says what was measured.
"""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from mien.errors import MienError

# For a program that loaded onnxruntime before mien, and for Windows, whose wheels do not know the variable: from
# here on no session is reported.
onnxruntime.disable_telemetry_events()

Session = onnxruntime.InferenceSession


def open_session(
    network: bytes, path: Path, error: type[MienError], *, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A network, ready to run on the CPU.

    Args:
        network: the ONNX file's bytes.
        path: where they are from, for the message.
        error: what is raised where onnxruntime cannot run them.
        threads: of one call; None for as many as the machine has cores.

    Raises:
        MienError: of the kind `error`: not an ONNX model, or one that this onnxruntime cannot run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 3
    # Threads that wait busily for the next call would slow others down.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # To try again, with the same processor, is announced on stdout, where the results go.
        return onnxruntime.InferenceSession(
            network, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as reason:  # onnxruntime's own exceptions have no common base
        line = str(reason).strip().split("\n")[0][:200]
        raise error(f"{path}: not an ONNX model that can be run ({line})") from reason


def write_fused(network: bytes, path: Path) -> None:
    """Write a network as the runtime sees it on any processor: constants folded, offsets inside of convolutions."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
