"""Recordings in folders, a folder for each class."""

from __future__ import annotations

import os
import wave

import numpy as np

from .folders import Folder, open_folder

__all__ = ["AudioFolder", "audio_dataset_from_directory", "read_wave"]

_FUNCTION = "audio_dataset_from_directory"


def read_wave(path) -> tuple:
    """(float32 (samples, channels) from -1 to below 1, samples a second) of a WAV file of 8, 16, 24 or 32 bits.

    ValueError for other files.
    """
    try:
        with wave.open(os.fspath(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise ValueError(f"{path!r} cannot be read as a WAV file: {error}. Files of integers (PCM) are read; save "
                         "others as such.") from error
    data = data[:len(data) // (width * channels) * width * channels]
    if width == 1:                                      # the only width without a sign
        values = (np.frombuffer(data, "u1").astype("float32") - 128) / 128
    elif width == 3:                                    # the upper three bytes of a 32-bit number
        wide = np.zeros((len(data) // 3, 4), "u1")
        wide[:, 1:] = np.frombuffer(data, "u1").reshape(-1, 3)
        values = wide.view("<i4")[:, 0].astype("float32") / 2**31
    else:
        values = np.frombuffer(data, f"<i{width}").astype("float32") / 2 ** (8 * width - 1)
    return values.reshape(-1, channels), rate


class AudioFolder(Folder):
    """The batches of `audio_dataset_from_directory`; see `Folder` for its attributes."""

    def read(self, path) -> np.ndarray:
        """One recording, float32 (samples, channels)."""
        values, rate = read_wave(path)
        if self.sampling_rate is not None and rate != self.sampling_rate:
            raise ValueError(f"{_FUNCTION}: {path!r} has {rate} samples a second, not sampling_rate="
                             f"{self.sampling_rate}. Recordings are not resampled; convert them first.")
        return values

    def batch(self, arrays) -> np.ndarray:
        """Cut, or filled up with silence, to one length."""
        length = self.output_sequence_length or max(map(len, arrays))
        channels = {a.shape[1] for a in arrays}
        if len(channels) > 1:
            raise ValueError(f"{_FUNCTION}: a batch has recordings of {' and '.join(map(str, sorted(channels)))} "
                             "channels; all must have the same.")
        out = np.zeros((len(arrays), length, channels.pop()), "float32")
        for row, array in zip(out, arrays, strict=True):
            row[:len(array)] = array[:length]
        return out


def audio_dataset_from_directory(directory, labels="inferred", label_mode="int", class_names=None, batch_size=32,
                                 sampling_rate=None, output_sequence_length=None, ragged=False, shuffle=True,
                                 seed=None, validation_split=None, subset=None, follow_links=False, verbose=True,
                                 workers=1):
    """Recordings in folders as batches for `fit`: one folder for each class, ``directory/yes/1.wav``.

    The files are read anew in each epoch, by threads, while the model trains.

    Parameters
    ----------
    directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset, follow_links,
    verbose, workers:
        As for `image_dataset_from_directory`; the files end in .wav, and hold integers of 8, 16, 24 or 32 bits.
    sampling_rate: int, optional
        Samples a second that all files must have; they are not resampled. Default: any.
    output_sequence_length: int, optional
        Recordings are cut, or filled up with silence at the end, to this many samples. Default: the longest of the
        batch, so that batches differ in length.
    ragged: bool
        Not available: must be False.

    Returns
    -------
    AudioFolder
        A PyDataset of x float32 (batch, samples, channels) from -1 to 1, or (x, y); it has `class_names` and
        `file_paths`. With ``subset="both"`` a pair of them.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there are no recordings, labels or classes do not fit, an argument is none of the above, or, when it is
        read, a file is no WAV file or has another rate.
    """
    if ragged:
        raise ValueError(f"{_FUNCTION}: ragged=True is not available: a batch is one array.")
    for name, value in (("sampling_rate", sampling_rate), ("output_sequence_length", output_sequence_length)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
            raise ValueError(f"{_FUNCTION}: {name}={value!r} must be an int of at least 1, or None.")
    return open_folder(AudioFolder, _FUNCTION, (".wav",),
                       {"sampling_rate": sampling_rate, "output_sequence_length": output_sequence_length},
                       directory, labels, label_mode, class_names, batch_size, shuffle, seed, validation_split, subset,
                       follow_links, verbose, workers)
