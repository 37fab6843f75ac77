"""What each kind of model can be told. Ranges are those of `boarfish.v1.TrainingPlan`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TabularNetConfig:
    """Entity embeddings and fully connected layers. `learning_rate` is the peak of the one-cycle schedule."""

    epochs: int = 5
    batch_size: int = 256
    learning_rate: float = 0.01
    hidden_sizes: tuple[int, ...] = (200, 100)
    dropout: float = 0.1
    weight_decay: float = 0.01


@dataclass(frozen=True)
class GradientBoostingConfig:
    """Histogram gradient boosting of decision trees."""

    iterations: int = 150
    learning_rate: float = 0.1
    leaf_count: int = 31
