"""An encoder of sound and picture: each by itself first, then together."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maskedae.encoder import Intermediates
from maskedae.head import Pool, pool_tokens
from maskedae.joint import Both, BottleneckBlocks, JointBlocks
from maskedae.joint_head import JointHead, mean_of, means_of, values_there
from maskedae.meeting import joined, means
from maskedae.pair_encoder import PairEncoder
from maskedae.pairs import Pair
from maskedae.vit import VisionTransformer


class AudioVideoEncoder(PairEncoder):
    """Two vision transformers, and blocks in which their tokens meet (arXiv:2212.08071, 3.1).

    What enters those blocks is not normalised. Tokens come out as class tokens of sound and
    picture, patches of sound, patches of pictures. Where a sample lacks one of them, its tokens are
    NaN, and nothing else is touched by them; if none does, `lacking` may be False, which is faster.
    What stands for a sample is the mean of each signal's patches or, if those are `mingled`, of
    all, under a head that has a norm beside that of the tokens.
    """

    head: JointHead

    def __init__(
        self,
        audio: VisionTransformer,
        video: VisionTransformer,
        fusion: JointBlocks | BottleneckBlocks,
        mingled: bool = False,
    ) -> None:
        super().__init__(audio, video)
        self.fusion, self.mingled = fusion, mingled
        self.norm = self.last_norm()
        self.head = JointHead(self.num_features)
        deepest = audio.depth + fusion.depth - 1  # rates of dropped paths grow up to there
        for part in self.parts:
            part.blocks.span = 0.0, (part.depth - 1) / deepest
        for blocks in fusion.stacks:
            blocks.span = audio.depth / deepest, 1.0

    def last_norm(self) -> nn.Module:
        """A fresh norm of the tokens."""
        return nn.LayerNorm(self.width, eps=self.eps)

    def apart(
        self, signal: Pair, visible: Sequence[Tensor] | None = None, noise: Tensor | None = None
    ) -> Both:
        """Tokens of sound and of pictures before they meet: (B, 1 + V, D), (B, 1 + V', D)."""
        self.check(signal)
        chosen = visible or (None, None)
        noises = self._split(noise)
        audio, video = (
            part.blocks(part.tokens(side, index), noise=paths)
            for part, side, index, paths in zip(
                self.parts, self.filled(signal), chosen, noises, strict=False
            )
        )
        return audio, video

    def _split(self, noise: Tensor | None) -> Sequence[Tensor | None]:
        """The noise of sound's paths, of pictures', of those of both together."""
        if noise is None:
            return (None, None, None)
        first = 2 * self.audio.depth
        second = first + 2 * self.video.depth
        return noise[:, : 2 * self.depth].tensor_split([first, second], dim=1)

    def together(self, tokens: Both, signal: Pair, noise: Tensor | None = None) -> Both:
        """What becomes of tokens that were `apart` when they meet, normalised: the same shapes.

        Finite, but of no meaning, for what is not there.
        """
        audio, video = self.fusion(*tokens, self.there(signal), self._split(noise)[2])[-1]
        return self.norm(audio), self.norm(video)

    def alone(self, tokens: Both) -> Both:
        """Tokens that were `apart`, normalised, each as that of an encoder by itself."""
        audio, video = self.fusion.alone(*tokens)
        return self.audio.norm(audio), self.video.norm(video)

    @property
    def own_norms(self) -> list[nn.Module]:
        """Norms of each by itself, of which nothing is seen where both meet."""
        return [self.audio.norm, self.video.norm, self.fusion.norms]

    def each(self, signal: Pair, visible: Sequence[Tensor] | None = None) -> Both:
        """Tokens of encoders that know nothing of each other: (B, 1 + V, D), (B, 1 + V', D).

        NaN for what is not there.
        """
        return self.blanked(self.alone(self.apart(signal, visible)), signal)

    def vectors(self, signal: Pair, visible: Sequence[Tensor] | None = None) -> Both:
        """One vector for each sound and one for each picture, by which they compare: 2 x (B, D).

        The mean of the patches of `each`. NaN for what is not there.
        """
        return means(self.each(signal, visible), self.audio.prefix)

    def latent(self, signal: Any, visible: Any = None, noise: Tensor | None = None) -> list[Tensor]:
        """What decoders are given: (B, 1 + V, D), (B, 1 + V', D)."""
        tokens = self.together(self.apart(signal, visible, noise), signal, noise)
        return list(self.blanked(tokens, signal))

    def forward_features(
        self, signal: Any, visible: Any = None, noise: Tensor | None = None
    ) -> Tensor:
        """Normalised tokens, both class tokens first: Pair, 2 x (B, V) -> (B, 2 + V + V', D).

        NaN for what is not there. `noise` (B, noise_size) says which paths are dropped.
        """
        audio, video = self.latent(signal, visible, noise)
        return joined(audio, video, self.audio.prefix)

    def forward_intermediates(
        self,
        signal: Any,
        indices: int | list[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NLC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> Intermediates:
        """Outputs of chosen blocks as tokens (B, N + N', D); those in which both meet come last.

        Raises ValueError where feature maps are asked for, as patches of two grids make none.
        """
        if output_fmt == "NCHW":
            raise ValueError("tokens of sound and picture are no map: output_fmt=NLC would fit")
        chosen, kept = self.chosen(indices), dict[int, Tensor]()
        for number, tokens in self._outputs(signal, chosen).items():
            if norm and number < self.audio.depth:
                tokens = self.audio.norm(tokens[0]), self.video.norm(tokens[1])
            elif norm:
                tokens = self.norm(tokens[0]), self.norm(tokens[1])
            kept[number] = joined(*self.blanked(tokens, signal), self.audio.prefix)
        picked = [kept[number] for number in sorted(set(chosen))]
        found = self.told(picked, [()] * len(picked), return_prefix_tokens, output_fmt)
        if intermediates_only:
            return found
        last = kept[self.num_layers - 1]
        return last if norm else self.norm(last), found  # type: ignore[return-value]

    def _outputs(self, signal: Pair, chosen: list[int]) -> dict[int, Both]:
        """Tokens after the chosen blocks of each by itself, and after all where both meet."""
        apart = self.outputs_apart(signal, {n for n in chosen if n < self.audio.depth})
        together = self.fusion(*apart[self.audio.depth - 1], self.there(signal))
        return apart | dict(enumerate(together, start=self.audio.depth))

    def pool(
        self,
        features: Tensor,
        how: Pool = "mean",
        visible: Any = None,
        there: Both | None = None,
    ) -> Tensor:
        """Sound's vector, then pictures': (B, 2 + V + V', D) -> (B, 2 D); NaN for what is absent.

        Without what is `visible`, features are of all patches. If they are mingled, (B, D), in
        which NaN does not count, or, if it is told what is `there`, of that very much.
        """
        if self.mingled and (there is None or how == "class"):
            return pool_tokens(features, self.prefix, how, ragged=self.lacking)
        if how == "class":
            return features[:, : self.prefix].flatten(1)
        heard = torch.Size(self.audio.grid).numel() if visible is None else visible[0].shape[1]
        first = self.prefix + heard
        parts = features[:, self.prefix : first], features[:, first:]
        if there is None or not self.mingled:
            return means_of(parts)
        return mean_of(parts, there)

    def forward_head(
        self,
        features: Tensor,
        pre_logits: bool = False,
        noise: Tensor | None = None,
        visible: Any = None,
        there: Both | None = None,
    ) -> Tensor:
        """What the head makes of normalised tokens: (B, 2 + V + V', D) -> (B, outputs), (B, 2 D).

        `noise`, what is `visible` and what is `there` are those of the tokens. Whatever is NaN
        though it is there makes the answer NaN.
        """
        dropped = None if noise is None or not self.head.dropout else noise[:, 2 * self.depth :]
        pooled = self.pool(features, self.head.pool, visible, there)
        told = None if there is None else values_there(there, self.width, self.mingled)
        return self.head(pooled, pre_logits, dropped, told)

    def make_head(self, outputs: int, pool: Pool, batch_norm: bool, dropout: float) -> Any:
        """A fresh head."""
        values, eps = self.num_features, self.head_eps
        return JointHead(values, outputs, pool, batch_norm, eps, dropout, not self.mingled)

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        batch_norm: bool = False,
        dropout: float = 0.0,
        keep_norm: bool = False,
    ) -> None:
        """Replace the head by a fresh one; norms that it has no use for go."""
        last = self.norm
        super().reset_classifier(num_classes, global_pool, batch_norm, dropout)
        if num_classes:
            self.audio.norm = self.video.norm = nn.Identity()
            self.fusion.norms = nn.ModuleList()
        if keep_norm and self.head.replaces_norm and isinstance(last, nn.LayerNorm):
            twice = {name: table.repeat(2) for name, table in last.state_dict().items()}
            self.head.norm.load_state_dict(twice)

    @property
    def num_layers(self) -> int:
        """Blocks that a token goes through."""
        return self.audio.depth + self.fusion.depth

    @property
    def depth(self) -> int:
        """Blocks that drop paths."""
        return self.audio.depth + self.video.depth + self.fusion.noise_size // 2

    @property
    def noise_size(self) -> int:
        """Random numbers that tell which paths of one sample are dropped, and what of its head."""
        return 2 * self.depth + (self.num_features if self.head.dropout else 0)

    @property
    def num_features(self) -> int:
        """Width of what is pooled."""
        return self.width if self.mingled else 2 * self.width

    @property
    def head_hidden_size(self) -> int:
        """Width of what enters the linear map of the head."""
        return self.num_features

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Which parameters belong to which layer: the stems, blocks side by side, then the rest."""
        owner, number = r"^(?:encoder\.)?", "" if coarse else r"\.(\d+)"
        return {
            "stem": owner + r"(?:audio|video)\.(?:class_token|positions|embed)",
            "blocks": owner + r"(?:audio|video)\.blocks" + number,
            "fusion": owner + r"fusion\.(?:blocks|audio|video)" + number,
        }

    def no_weight_decay(self) -> set[str]:
        """Parameters that are not to be decayed in fine-tuning."""
        sides = (("audio", self.audio), ("video", self.video))
        names = {f"{side}.{name}" for side, part in sides for name in part.no_weight_decay()}
        return names | {"fusion.tokens"}
