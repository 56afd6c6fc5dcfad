"""Callbacks: code that runs between the steps of training, evaluation and prediction."""

from .averages import SwapEMAWeights
from .callback import Callback, CallbackList, LambdaCallback
from .checkpoint import BackupAndRestore, ModelCheckpoint
from .history import History
from .learning_rate import LearningRateScheduler, ReduceLROnPlateau
from .logs import CSVLogger, TensorBoard
from .progress import ProgbarLogger
from .stopping import EarlyStopping, TerminateOnNaN

__all__ = ["BackupAndRestore", "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History",
           "LambdaCallback", "LearningRateScheduler", "ModelCheckpoint", "ProgbarLogger", "ReduceLROnPlateau",
           "SwapEMAWeights", "TensorBoard", "TerminateOnNaN"]
