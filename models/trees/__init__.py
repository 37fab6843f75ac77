"""Trees for tables: gradient boosting, random forest, XGBoost."""

from models.trees.boosting import FittedGradientBoosting, GradientBoosting, fit_gradient_boosting

__all__ = ["FittedGradientBoosting", "GradientBoosting", "fit_gradient_boosting"]
