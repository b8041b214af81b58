#!/usr/bin/env bash
# In a forked process, letting go of a session that its parent made waits for ever, if the session's threads were waiting
# and not spinning (session.intra_op.allow_spinning = 0): no call of the session is needed, only `del`, or a name that is
# bound anew. With one thread, or while threads spin, it ends at once. Exits with 1 if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2
"$work/venv/bin/python" - <<'PYTHON'
import os
import signal
import sys
import time

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnx
import onnxruntime
from onnx import TensorProto, helper

value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
print("onnxruntime", onnxruntime.__version__)


def ends(threads: int) -> bool:
    """Whether a child that lets go of its parent's session does so within ten seconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    time.sleep(0.5)  # the session's threads wait by now
    child = os.fork()
    if child == 0:
        del session
        os._exit(0)
    for _ in range(100):
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


said = {threads: ends(threads) for threads in (1, 2)}
for threads, ended in said.items():
    print(f"{threads} thread(s): `del session` in the child", "ended" if ended else "did not end within 10 s")
sys.exit(said != {1: True, 2: False})
PYTHON
