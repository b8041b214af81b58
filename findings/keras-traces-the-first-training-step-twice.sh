#!/usr/bin/env bash
# Keras with TensorFlow traces the first training step of a model with several outputs twice, and that of a model with one
# output once: for each of several outputs the compiled loss makes variables when it is first computed, which is inside of
# the step, and `tf.function` then throws that trace away. Building the optimizer does not help. One call of the public
# `model.compute_loss` on zeros before `fit` does, and the losses are the same to the last bit. Of a small ResNet on a CPU,
# tracing is most of a short run's time.
# Exits with 0 while it is so, with 1 once a version behaves otherwise.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6
CUDA_VISIBLE_DEVICES=-1 TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - <<'PYTHON'
import sys

import keras
import numpy as np
import tensorflow as tf

print("keras", keras.__version__, "tensorflow", tf.__version__)
traces = []


class Counted(keras.Model):
    def train_step(self, data):
        traces.append("a step")  # Python runs while TensorFlow traces, and never again
        return super().train_step(data)


def fit(heads, before):
    traces.clear()
    keras.utils.set_random_seed(0)
    x = pixels = keras.Input((8,))
    x = keras.layers.Dense(4)(x)
    model = Counted(pixels, {head: keras.layers.Dense(3, name=head)(x) for head in heads})
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss=dict.fromkeys(heads, loss))
    model.optimizer.build(model.trainable_variables)
    if before:
        zeros = {head: np.zeros((1, 3), np.float32) for head in heads}
        model.compute_loss(y=zeros, y_pred=zeros)
    rng = np.random.default_rng(0)
    targets = {head: np.eye(3, dtype=np.float32)[rng.integers(0, 3, 40)] for head in heads}
    history = model.fit(rng.normal(size=(40, 8)), targets, batch_size=10, epochs=2, shuffle=False, verbose=0)
    return len(traces), history.history["loss"]


changed = False
for heads in (("one",), ("one", "two")):
    plain, built = fit(heads, before=False), fit(heads, before=True)
    print(f"{len(heads)} output(s): traced {plain[0]} times, after compute_loss {built[0]}; losses equal: {plain[1] == built[1]}")
    changed |= (plain[0], built[0]) != (len(heads), 1) or plain[1] != built[1]
sys.exit(changed)
PYTHON
