"""The transformer that encoders and decoders are made of."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from maskedae.attention import Attention


@dataclass(frozen=True)
class Tower:
    """The measures of a stack of blocks."""

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0


class Mlp(nn.Module):
    """Two linear maps around a GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm attention and MLP, each with a residual (arXiv:2010.11929)."""

    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(tower.width, eps=1e-6)
        self.attn = Attention(tower.width, tower.heads)
        self.norm2 = nn.LayerNorm(tower.width, eps=1e-6)
        self.mlp = Mlp(tower.width, int(tower.width * tower.mlp_ratio))

    def forward(self, x: Tensor, last: int | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); where only the last K are wanted, (B, K, D)."""
        kept = x if last is None else x[:, -last:]
        x = kept + self.attn(self.norm1(x), last)
        return x + self.mlp(self.norm2(x))


class Blocks(nn.ModuleList):
    """A stack of blocks that can trade memory for time."""

    def __init__(self, tower: Tower) -> None:
        super().__init__(Block(tower) for _ in range(tower.depth))
        self.checkpointing = False

    def step(self, block: nn.Module, x: Tensor, last: int | None = None) -> Tensor:
        """Run one block, forgetting its activations if they are to be computed again."""
        if self.checkpointing and self.training:
            return checkpoint(block, x, last, use_reentrant=False)
        return block(x, last)

    def forward(self, x: Tensor, last: int | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); where only the last K are wanted, (B, K, D)."""
        for number, block in enumerate(self, 1):
            x = self.step(block, x, last if number == len(self) else None)
        return x


def init_linear(module: nn.Module) -> None:
    """Draw every linear weight from Xavier's uniform distribution; biases are zero (MAE)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


def set_checkpointing(model: nn.Module, on: bool) -> None:
    """Compute activations again in the backward pass instead of keeping them, or not."""
    for module in model.modules():
        if isinstance(module, Blocks):
            module.checkpointing = on
