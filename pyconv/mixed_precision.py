"""Mixed precision under the names that older code for Keras uses; see `pyconv.dtype_policies`."""

from .config import dtype_policy, set_dtype_policy
from .dtype_policies import DTypePolicy
from .optimizers import LossScaleOptimizer

__all__ = ["DTypePolicy", "LossScaleOptimizer", "Policy", "dtype_policy", "global_policy", "set_dtype_policy",
           "set_global_policy"]

Policy, global_policy, set_global_policy = DTypePolicy, dtype_policy, set_dtype_policy
