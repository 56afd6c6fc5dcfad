"""Folders of recordings: every width of WAV files, lengths, labels, and files that do not fit."""

import wave

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.data.audio import read_wave
from pyconv.utils import audio_dataset_from_directory


def write(path, values, width=2, rate=8000, channels=1):
    """values: integers of `width` bytes, as they stand in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join(int(v).to_bytes(width, "little", signed=width > 1) for v in values)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels), file.setsampwidth(width), file.setframerate(rate)
        file.writeframes(data)


@pytest.fixture
def folder(tmp_path):
    for name, start, count in (("no/a.wav", 0, 3), ("no/b.WAV", 100, 5), ("yes/a.wav", 200, 2),
                               ("yes/deep/c.wav", 300, 4)):
        write(tmp_path / name, start + np.arange(count))
    (tmp_path / "yes" / "notes.txt").write_text("no recording")
    return tmp_path


def read(folder, **arguments):
    return audio_dataset_from_directory(folder, **{"shuffle": False, "verbose": False, **arguments})


@pytest.mark.parametrize("width,low,high", [(1, 0, 255), (2, -2**15, 2**15 - 1), (3, -2**23, 2**23 - 1),
                                            (4, -2**31, 2**31 - 1)])
def test_widths(tmp_path, width, low, high):
    middle = 128 if width == 1 else 0
    write(tmp_path / "a.wav", [low, middle, high, middle + 1], width)
    values, rate = read_wave(tmp_path / "a.wav")
    assert values.dtype == "float32" and values.shape == (4, 1) and rate == 8000
    step = 2.0 ** (1 - 8 * width)
    np.testing.assert_allclose(values[:, 0], [-1, 0, 1 - step, step], rtol=1e-6)


def test_batches_are_filled_up_with_silence(folder):
    ((x, y),) = read(folder)
    assert x.shape == (4, 5, 1) and x.dtype == "float32" and y.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(x[2, :, 0] * 2**15, [200, 201, 0, 0, 0])
    ((x, _),) = read(folder, output_sequence_length=3)
    np.testing.assert_array_equal(x[1, :, 0] * 2**15, [100, 101, 102])
    assert [b.shape for b, _ in read(folder, batch_size=2)] == [(2, 5, 1), (2, 4, 1)]


def test_channels_and_labels(folder, tmp_path):
    ((_, y),) = read(folder, label_mode="categorical")
    assert y.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    write(tmp_path / "two" / "a.wav", [1, 2, 3, 4], channels=2)
    ((x),) = read(tmp_path / "two", labels=None)
    np.testing.assert_array_equal(x[0] * 2**15, [[1, 2], [3, 4]])
    write(tmp_path / "two" / "b.wav", [1])
    with pytest.raises(ValueError, match="recordings of 1 and 2 channels"):
        list(read(tmp_path / "two", labels=None))


def test_split_and_fit(folder):
    train, test = read(folder, validation_split=0.25, subset="both", output_sequence_length=4, label_mode="binary",
                       shuffle=True, seed=1)
    assert len(train.file_paths) == 3 and len(test.file_paths) == 1
    model = pyconv.Sequential([pyconv.Input((4, 1)), layers.Conv1D(2, 3), layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(train, validation_data=test, epochs=2, verbose=0)


@pytest.mark.parametrize("arguments,message", [
    ({"sampling_rate": 16000}, "has 8000 samples a second, not sampling_rate=16000"),
    ({"output_sequence_length": 0}, "output_sequence_length=0 must be an int"),
    ({"ragged": True}, "ragged=True is not available"), ({"label_mode": "one-hot"}, "label_mode='one-hot'"),
    ({"labels": [1]}, "1 labels were given for 4 files")])
def test_errors(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        list(read(folder, **arguments))


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="no such files"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        read(tmp_path / "none")
    (tmp_path / "a.wav").write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(ValueError, match="a.wav' cannot be read as a WAV file"):
        list(read(tmp_path, labels=None))
    write(tmp_path / "a.wav", range(100))
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(whole[:-51])           # cut within a sample: what is whole is read
    assert read_wave(tmp_path / "a.wav")[0].shape == (74, 1)
