"""How to train: what stands in the sections `train`, `finetune` and `detect` of a recipe."""

from dataclasses import dataclass, field
from typing import Literal

from maskedae.head import Pool
from maskedae.masking import Masker

COUNTS = ["epochs", "batch_size", "accumulate", "log_every_steps", "save_every_steps"]
COUNTS += ["look_every_epochs", "max_nonfinite"]


@dataclass(frozen=True)
class Train:
    """How to train."""

    epochs: int = 800
    """Passes over the data."""
    samples_per_epoch: int | None = None
    """Samples in an epoch; by default as many as there are."""
    replacement: bool = True
    """Where data are drawn by weight: whether a sample may come up more than once in an epoch, as
    in the published code of arXiv:2207.06405, or not, as in the paper."""
    batch_size: int = 4096
    """Samples in a step, over all processes and accumulated micro-batches together."""
    accumulate: int = 1
    """Micro-batches that a process adds up in a step: less memory, same numbers."""
    base_lr: float = 1.5e-4
    """Peak learning rate for a batch of 256; it grows in proportion to the batch."""
    min_lr: float = 0.0
    """Learning rate at the end of the cosine."""
    drops: list[float] | None = None
    """Shares of the training from which on the learning rate is a tenth of what it was, such as
    [0.889, 0.963]; none takes the cosine."""
    warmup_epochs: float = 40
    """Epochs over which the learning rate rises from zero."""
    weight_decay: float = 0.05
    """Decay of all but biases and parameters of one axis."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Averaging of AdamW."""
    layer_decay: float | None = None
    """Learning rate of a block as a share of the next one's; then class token and positions are
    not decayed; none trains all blocks alike."""
    drop_path: float = 0.0
    """Share of paths dropped in the last block of the encoder; it grows evenly from none in the
    first."""
    optimizer: Literal["adamw", "lars"] = "adamw"
    """LARS is that of the published linear probe."""
    ema: float | None = None
    """Share of the past in a moving average of the weights, such as 0.9999; the average is what is
    scored and saved; none keeps none."""
    clip: float | None = None
    """Largest norm of the gradient; none does not clip."""
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """Arithmetic of the model; auto takes bf16 on a GPU that has it, else fp32."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to train; auto takes the GPU if there is one."""
    compile: bool = False
    """Compile the model into one graph; the first step takes minutes."""
    checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    workers: int | None = None
    """Processes that read data, per training process; none takes one for each core."""
    seed: int = 0
    """Of weights, order, augmentation and masks."""
    log_every_steps: int = 20
    """How often metrics are written."""
    save_every_steps: int = 500
    """How often the last checkpoint is renewed; it also is after the last step."""
    keep_every_epochs: int = 0
    """Keep a checkpoint of every so many epochs for good; 0 keeps the last and the best."""
    look_every_epochs: int = 10
    """How often pictures are drawn and, where there are labels, the encoder is scored by kNN."""
    max_nonfinite: int = 10
    """Steps in a row without a finite gradient that end the run."""
    trackers: list[str] = field(default_factory=lambda: ["tensorboard"])
    """Where curves go beside metrics.jsonl: any tracker that accelerate knows."""

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} is {getattr(self, name)}; 1 or more would fit")
        if self.samples_per_epoch is not None and self.samples_per_epoch < 1:
            count = self.samples_per_epoch
            raise ValueError(f"train.samples_per_epoch is {count}; 1 or more, or null, would fit")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"train.layer_decay is {self.layer_decay}; (0, 1] would fit")
        if self.layer_decay is not None and self.optimizer == "lars":
            raise ValueError("train.layer_decay goes with adamw; lars trains all layers alike")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"train.ema is {self.ema}; a share such as 0.9999 would fit")

        if self.drops is not None and not all(0 < share < 1 for share in self.drops):
            raise ValueError(f"train.drops is {self.drops}; shares of the training, (0, 1), fit")
        if self.drops is not None and self.min_lr:
            raise ValueError("train.min_lr ends the cosine, which train.drops replaces: set one")

    @property
    def peak_lr(self) -> float:
        """Learning rate after the warm-up."""
        return self.base_lr * self.batch_size / 256


@dataclass(frozen=True)
class Finetune:
    """What becomes of the encoder when it learns from labels."""

    pool: Pool = "mean"
    """What the head sees: the mean of the patches, under a norm of its own, or the class token."""
    mixup: float = 0.8
    """Mixing two samples of a micro-batch: alpha of the Beta distribution; 0 does not."""
    cutmix: float = 1.0
    """Pasting a box of another sample, in half of the steps where both are on; 0 does not."""
    mix_share: float = 1.0
    """Share of the pairs that are mixed."""
    masker: Masker | None = None
    """What hides patches in training, too (arXiv:2207.06405, 4.2); none hides none."""
    smoothing: float = 0.1
    """Share of the truth that is spread over all classes, where a sample has one class."""
    binary: bool = False
    """Ask for every class whether it is the one, each for itself, where a sample has one class."""
    frozen: bool = False
    """Train nothing but the head."""
    batch_norm: bool = False
    """Normalise what enters the head over a micro-batch, as in the published linear probe."""
    dropout: float = 0.0
    """Share of what enters the head's linear map that is dropped while training."""
    keep_norm: bool = False
    """Start the head's norm from the encoder's last, as spatiotemporal MAE does; else afresh."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"finetune.dropout is {self.dropout}; [0, 1) would fit")
        for name in ("mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"finetune.{name} is {getattr(self, name)}; 0 or more would fit")
        if not 0 < self.mix_share <= 1:
            raise ValueError(f"finetune.mix_share is {self.mix_share}; (0, 1] would fit")
        if not 0 <= self.smoothing < 1:
            raise ValueError(f"finetune.smoothing is {self.smoothing}; [0, 1) would fit")


@dataclass(frozen=True)
class Heads:
    """What becomes of an encoder when it learns to find things (arXiv:2203.16527).

    Heads are those of torchvision.
    """

    masks: bool = False
    """Tell which pixels belong to a thing, too (Mask R-CNN)."""
    window: int = 14
    """Side, in patches, of the windows that most blocks of a plain encoder look about in; a
    hierarchical one has its own."""
    wide: list[int] | None = None
    """Blocks of a plain encoder that look everywhere, the first being 0; none takes the last of
    every quarter."""
    relative: bool = True
    """Learn, in every block of a plain encoder, how patches so far apart attend to each other."""
    channels: int = 256
    """Width of the feature pyramid and of convolutions on it."""
    anchor: float = 8.0
    """Side of the boxes to begin with, in strides of their level."""
    rpn_convs: int = 2
    """Convolutions before things are told from ground."""
    box_convs: int = 4
    """Convolutions before a box is named."""
    box_width: int = 1024
    """Width of the features of a box."""
    mask_convs: int = 4
    """Convolutions before pixels are told."""
    proposals: int = 1000
    """Boxes of a picture that are looked into, the likeliest."""
    samples: int = 512
    """Boxes of a picture that are learned from, a quarter of them around something."""
    min_score: float = 0.05
    """Less probable boxes are dropped."""
    nms: float = 0.5
    """Of boxes of one class that overlap by more than this share, the surest stays."""
    most: int = 100
    """Boxes to keep of a picture."""

    def __post_init__(self) -> None:
        counts = ("window", "channels", "rpn_convs", "box_width", "proposals", "samples", "most")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"detect.{name} is {getattr(self, name)}; 1 or more would fit")
        for name in ("box_convs", "mask_convs"):
            if getattr(self, name) < 0:
                raise ValueError(f"detect.{name} is {getattr(self, name)}; 0 or more would fit")
        if not self.anchor > 0:
            raise ValueError(f"detect.anchor is {self.anchor}; more than 0 would fit")
        for name in ("min_score", "nms"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"detect.{name} is {getattr(self, name)}; [0, 1] would fit")
