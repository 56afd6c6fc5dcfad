"""Helpers around training: seeds, files, labels and sequences, batches from disk, own gradients, drawings."""

import importlib

_EXPORTS = {"get_file": "utils.files", "set_random_seed": "random", "Progbar": "utils.progbar",
            "value_and_grad": "utils.gradients", "to_categorical": "utils.numpy_utils",
            "normalize": "utils.numpy_utils", "pad_sequences": "utils.numpy_utils",
            "model_to_dot": "utils.plotting", "plot_model": "utils.plotting",
            "PyDataset": "data", "Sequence": "data", "image_dataset_from_directory": "data",
            "split_dataset": "data", "timeseries_dataset_from_array": "data",
            "array_to_img": "utils.images", "img_to_array": "utils.images", "load_img": "utils.images",
            "save_img": "utils.images", "audio_dataset_from_directory": "data",
            "clear_session": "utils.session", "standardize_dtype": "utils.session",
            "pack_x_y_sample_weight": "models.data", "unpack_x_y_sample_weight": "models.data",
            "register_keras_serializable": "saving", "CustomObjectScope": "saving",
            "custom_object_scope": "saving", "get_custom_objects": "saving",
            "get_registered_name": "saving", "get_registered_object": "saving",
            "serialize_keras_object": "saving", "deserialize_keras_object": "saving"}

__all__ = sorted(_EXPORTS)


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"pyconv.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'pyconv.utils' has no attribute {name!r}")


def __dir__():
    return __all__
