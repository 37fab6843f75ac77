"""What each kind of model can be told. Each class mirrors a plan of `boarfish.v1.TrainingPlan` field by
field: same names, and ranges as stated there.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class FitConfig:
    """How a net is fitted, whatever it is."""

    epochs: int = 5
    # Epochs before those in which the body is frozen and the head alone learns (`fine_tune`).
    frozen_epochs: int = 0
    batch_size: int = 64
    # Peak of the schedule for the last parameter group; 0: what the learning-rate finder suggests.
    learning_rate: float = 0.0
    # The first group (the deepest) learns with the peak divided by this; those between in equal ratios. 1:
    # all alike.
    rate_division: float = 1.0
    weight_decay: float = 0.01
    # "adamw", "adam", "sgd", "momentum", "rmsprop".
    optimizer: str = "adamw"
    # "one_cycle", "flat_cosine", "warm_restarts", "constant".
    schedule: str = "one_cycle"
    # Largest norm of the gradient; 0: not clipped.
    gradient_clip: float = 0.0
    # Batches whose gradients are summed before a step.
    accumulated_batches: int = 1
    # "auto", "float32", "bfloat16", "float16".
    precision: str = "auto"
    # "auto", "on", "off": torch.compile.
    compile: str = "auto"
    # Processes that train together on this machine, by torchrun; 1: this one. Each takes its part of every
    # batch.
    process_count: int = 1


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


@dataclass(frozen=True)
class RandomForestConfig:
    """A random forest with its out-of-bag error."""

    tree_count: int = 100
    # Fewest rows of a leaf.
    leaf_rows: int = 5
    # Share of the features tried at each division; 0: the square root of their number.
    feature_share: float = 0.5
    # Train this net first and put its embeddings in the place of codes and categories.
    embeddings: TabularNetConfig | None = None


@dataclass(frozen=True)
class XgboostConfig:
    """Gradient boosting by XGBoost, histogram method."""

    iterations: int = 200
    learning_rate: float = 0.1
    depth: int = 6
    # Train this net first and put its embeddings in the place of codes and categories.
    embeddings: TabularNetConfig | None = None


@dataclass(frozen=True)
class AugmentConfig:
    """How training pictures are changed, on the device, by one interpolation for all changes of place."""

    # Off: pictures are only resized.
    on: bool = True
    flip: bool = True
    rotate_degrees: float = 10.0
    # Largest enlargement, as a factor.
    zoom: float = 1.1
    # Largest relative change of brightness and contrast.
    lighting: float = 0.2
    # Alpha of the beta distribution that mixes pairs of pictures; 0: none.
    mixup: float = 0.0


@dataclass(frozen=True)
class SignalConfig:
    """How sound, series and bytes become pictures."""

    # AUDIO: sound is resampled to it, cut or padded to `seconds`, and turned into this many mel bands.
    sample_rate_hz: int = 8000
    seconds: float = 1.0
    mel_band_count: int = 64


@dataclass(frozen=True)
class ConvNetConfig:
    """A convolutional net over pictures, and over what becomes a picture."""

    fit: FitConfig = field(default_factory=FitConfig)
    # "resnet18", "resnet34", "resnet50", "xresnet18", "xresnet34", "xresnet50", "efficientnet_lite0".
    architecture: str = "resnet18"
    # A file of pretrained weights in the folder of weights; empty: from scratch.
    weights: str = ""
    # Pictures are made this high and wide, in pixels.
    image_size: int = 128
    # Sizes trained at in turn, each for an equal part of the epochs; empty: `image_size` alone.
    progressive_sizes: tuple[int, ...] = ()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    signal: SignalConfig = field(default_factory=SignalConfig)
    label_smoothing: float = 0.0
    dropout: float = 0.25
    # Changed copies of each validation picture whose predictions are averaged with the plain one's; 0: none.
    test_time_augmentations: int = 0


@dataclass(frozen=True)
class UnetConfig:
    """A U-Net grown on a body."""

    fit: FitConfig = field(default_factory=FitConfig)
    architecture: str = "resnet18"
    weights: str = ""
    image_size: int = 128
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class SiameseConfig:
    """One shared body over two pictures."""

    fit: FitConfig = field(default_factory=FitConfig)
    architecture: str = "resnet18"
    weights: str = ""
    image_size: int = 128
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class CollaborativeConfig:
    """Users and items as factors."""

    fit: FitConfig = field(default_factory=FitConfig)
    # "dot_product" or "net".
    method: str = "dot_product"
    factor_count: int = 50
    # "net": width of each hidden layer.
    hidden_sizes: tuple[int, ...] = (100, 50)
    dropout: float = 0.0


@dataclass(frozen=True)
class AwdLstmConfig:
    """The AWD-LSTM and its tokens."""

    # "word" or "subword".
    tokens: str = "word"
    vocabulary_size: int = 20_000
    # Words seen less often are unknown.
    minimum_count: int = 2
    embedding_size: int = 200
    hidden_size: int = 400
    layer_count: int = 2
    # Tokens of a batch in time (the length of truncated back-propagation).
    sequence_length: int = 70
    # All five dropouts are multiplied by it.
    dropout_scale: float = 0.5
    # Penalties of activations and of their change over time (AR and TAR).
    activation_penalty: float = 2.0
    change_penalty: float = 1.0


@dataclass(frozen=True)
class LanguageModelConfig:
    """Predicts the next token."""

    fit: FitConfig = field(default_factory=FitConfig)
    encoder: AwdLstmConfig = field(default_factory=AwdLstmConfig)
    # Weights of an earlier language model, in the folder of weights or a model version's id; empty: from
    # scratch.
    weights: str = ""


@dataclass(frozen=True)
class TextClassifierConfig:
    """ULMFiT: a language model, fine-tuned on the texts, whose encoder then classifies them."""

    # Of the classifier; its layers are unfrozen one after the other.
    fit: FitConfig = field(default_factory=FitConfig)
    encoder: AwdLstmConfig = field(default_factory=AwdLstmConfig)
    weights: str = ""
    # Of the language model on the texts of training; 0 epochs: none.
    language_model_epochs: int = 1
    # Tokens of a text that are read at most.
    longest: int = 1400
