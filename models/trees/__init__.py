"""Trees for tables: gradient boosting, random forest, XGBoost."""

from models.trees.boosting import FittedGradientBoosting, GradientBoosting, fit_gradient_boosting
from models.trees.forest import FittedRandomForest, RandomForest
from models.trees.xgboost import FittedXgboost, Xgboost

__all__ = [
    "FittedGradientBoosting",
    "FittedRandomForest",
    "FittedXgboost",
    "GradientBoosting",
    "RandomForest",
    "Xgboost",
    "fit_gradient_boosting",
]
