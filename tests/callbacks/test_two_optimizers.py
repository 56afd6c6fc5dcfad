"""A training step with two optimizers, as of adversarial networks: resumed with the same bits, saved without them."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, ops, random, saving
from pyconv.callbacks import BackupAndRestore, LambdaCallback
from pyconv.utils import set_random_seed, value_and_grad

X = np.random.default_rng(0).uniform(size=(24, 4, 4, 1)).astype("float32")


@saving.register_serializable("adversarial")
class Adversarial(pyconv.Model):
    """Its discriminator gives logits that are above 0 for images that are made up."""

    def __init__(self, discriminator, generator, **kwargs):
        super().__init__(**kwargs)
        self.discriminator, self.generator = discriminator, generator
        self.seed = random.SeedGenerator(1)
        self.mean = pyconv.metrics.Mean(name="d_loss")

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.crossentropy = pyconv.losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self):
        return [self.mean]

    def call(self, inputs):
        return self.discriminator(inputs)

    def train_step(self, data):
        real = data[0]
        n = ops.shape(real)[0]
        labels = ops.concatenate([ops.ones((n, 1)), ops.zeros((n, 1))], 0)
        # one of the model's own generator, one of the process's
        noise = [random.normal((n, 3), seed=self.seed), random.normal((n, 3))]
        both = ops.concatenate([self.generator(noise[0]), real], 0)
        loss, grads = value_and_grad(lambda: self.crossentropy(labels, self.discriminator(both)),
                                     self.discriminator.trainable_variables)()
        self.d_optimizer.apply(grads, self.discriminator.trainable_variables)
        _, grads = value_and_grad(lambda: self.crossentropy(ops.zeros((n, 1)), self.discriminator(
            self.generator(noise[1]))), self.generator.trainable_variables)()
        self.g_optimizer.apply(grads, self.generator.trainable_variables)
        self.mean.update_state(loss)
        return {"d_loss": self.mean.result()}


def make(seed=0):
    set_random_seed(seed)
    discriminator = pyconv.Sequential([pyconv.Input((4, 4, 1)), layers.Conv2D(3, 3, activation="relu"),
                                       layers.Dropout(0.2), layers.Flatten(), layers.Dense(1)])
    generator = pyconv.Sequential([pyconv.Input((3,)), layers.Dense(16, activation="sigmoid"),
                                   layers.Reshape((4, 4, 1))])
    model = Adversarial(discriminator, generator)
    model(X[:1])
    model.compile(pyconv.optimizers.Adam(0.01), pyconv.optimizers.RMSprop(0.01, momentum=0.5))
    return model


def state(model):
    return [v.array for v in (*model.variables, *model.d_optimizer.variables, *model.g_optimizer.variables)]


def test_a_resumed_training_has_the_same_bits(tmp_path):
    arguments = {"batch_size": 8, "epochs": 4, "verbose": 0}
    whole = make()
    whole.fit(X, **arguments)

    def stop(batch, logs):
        if int(cut.d_optimizer.iterations) == 8:
            raise KeyboardInterrupt
    cut = make()
    with pytest.raises(KeyboardInterrupt):
        cut.fit(X, callbacks=[BackupAndRestore(tmp_path, save_freq=2), LambdaCallback(on_train_batch_end=stop)],
                **arguments)
    resumed = make(seed=5)
    resumed.fit(X, callbacks=[BackupAndRestore(tmp_path, save_freq=2)], **arguments)
    for a, b in zip(state(whole), state(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_file_has_the_networks(tmp_path):
    model = make()
    model.fit(X, epochs=1, verbose=0)
    model.save(tmp_path / "m.pyconv")
    loaded = saving.load_model(tmp_path / "m.pyconv", compile=False)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="cannot be compiled as it was(.|\n)*compile=False(.|\n)*get_compile_config"):
        saving.load_model(tmp_path / "m.pyconv")
