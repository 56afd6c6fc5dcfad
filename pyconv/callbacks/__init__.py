"""Callbacks: code that runs between the steps of training, evaluation and prediction."""

from .callback import Callback, CallbackList, LambdaCallback
from .history import History
from .progress import ProgbarLogger
from .stopping import EarlyStopping, TerminateOnNaN

__all__ = ["Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback", "ProgbarLogger",
           "TerminateOnNaN"]
