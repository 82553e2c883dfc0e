"""What shapes tell of a Hiera, what they cannot, and what has no place in one."""

import math
import re
from collections.abc import Sequence
from typing import Any

from maskedae.layouts import Facts, Foreign, Layout, State, count
from maskedae.models.layouts import mae_facts
from maskedae.models.layouts.mae_facts import Told, has_decoder, head
from maskedae.units import units_of

NEEDED = {
    "encoder.embed.bias": "no bias of the tokens",
    "encoder.blocks.0.attn.qkv.bias": "no bias of queries, keys and values",
}
HEADS = {96: 1, 112: 2, 144: 2, 256: 4}
UNTOLD = "weights do not tell"
TOLD_OF_DECODERS = {"decoder_heads", "normalize_target"}
LICENCE = "cc-by-nc-4.0"  # of the published weights
PUBLISHED = re.compile(r"(mae_)?hiera_(tiny|small|base|base_plus|large|huge)_(224|16x224)\.pth")


def describe(
    layout: Layout, state: State, foreign: Foreign, told: Told, overrides: dict[str, Any]
) -> Facts:
    """Settings by the shapes, by what lies beside the file, and by guess, in this order.

    Raises ValueError that names what these models have no place for.
    """
    refuse(state)
    settings, guessed = measure(state), dict[str, str]()
    for name, value in told.settings.items():
        if has_decoder(state) or name not in TOLD_OF_DECODERS:
            settings[name] = value
    guess(settings, state, guessed)
    settings |= places(settings, state, [settings.pop("size", None), overrides.get("size")])
    known = LICENCE if PUBLISHED.fullmatch(foreign.path.name) else "unknown"
    sections = {**told.sections, "licence": foreign.licence or told.licence or known}
    # Norms of a head that are left out show that it stood before one.
    tuned = sections.pop("tuned", bool(layout.left_out))
    if "encoder.head.linear.weight" in state:
        sections["head"] = head(state, told)
    elif tuned and not has_decoder(state):
        sections["tuned"] = True
    parts = "fine-tuned" if "head" in sections else "encoder"
    parts = "encoder and decoder" if has_decoder(state) else parts
    return Facts(f"{layout.title}, {parts}", settings, guessed, sections)


def refuse(state: State) -> None:
    """Raise ValueError where a file has what models have no place for, or lacks what they need."""
    mae_facts.refuse(state, NEEDED)
    number, width = 0, len(state["encoder.embed.weight"])
    while (name := f"encoder.blocks.{number}.norm2.weight") in state:
        if len(state[name]) not in (width, 2 * width):
            raise ValueError(
                f"the tokens of the file widen from {width} to {len(state[name])} values in block "
                f"{number}, and those of this model to twice as many"
            )
        if len(state[name]) != width and f"encoder.blocks.{number}.proj.weight" not in state:
            raise ValueError(
                f"the file has no linear map where tokens widen, in block {number} "
                f"(use_expand_proj=False), and this model cannot do without"
            )
        number, width = number + 1, len(state[name])


def measure(state: State) -> dict[str, Any]:
    """Settings by the shapes of tensors under our names, but for size, stride and heads."""
    width, channels, *kernel = state["encoder.embed.weight"].shape
    depth = count(state, "encoder.blocks.*")
    starts = [n for n in range(depth) if f"encoder.blocks.{n}.proj.weight" in state]
    ends = zip((0, *starts), (*starts, depth), strict=True)
    settings: dict[str, Any] = {
        "kernel": tuple(kernel),
        "channels": channels,
        "width": width,
        "stages": tuple(end - start for start, end in ends),
    }
    if has_decoder(state):
        settings["decoder_width"] = len(state["decoder.embed.weight"])
        settings["decoder_depth"] = count(state, "decoder.blocks.*")
        if len(settings["stages"]) > 2:
            settings["multi_scale"] = "decoder.fusion.heads.0.weight" in state
    return settings


def guess(settings: dict[str, Any], state: State, guessed: dict[str, str]) -> None:
    """Settle what neither shapes nor a config tell; say how."""
    if "heads" not in settings:
        width = settings["width"]
        settings["heads"] = HEADS.get(width, max(width // 64, 1))
        guessed["heads"] = f"{settings['heads']} by width: {UNTOLD}"
    if "stride" not in settings:
        settings["stride"], sure = find_stride(settings, state)
        if not sure:
            how = "as published" if settings["kernel"][-2:] == (7, 7) else "by the kernel"
            guessed["stride"] = f"{settings['stride']}, {how}: {UNTOLD}"
    if not has_decoder(state):
        return
    if "decoder_heads" not in settings:
        width = settings["decoder_width"]
        settings["decoder_heads"] = heads = 16 if width % 16 == 0 else max(width // 32, 1)
        published = ", as in the repository, where the paper has 8" * (len(settings["kernel"]) == 3)
        guessed["decoder_heads"] = f"{heads}{published}: {UNTOLD}"
    if "normalize_target" not in settings:
        settings["normalize_target"] = True
        guessed["normalize_target"] = f"True, as published: {UNTOLD}"


def find_stride(settings: dict[str, Any], state: State) -> tuple[tuple[int, ...], bool]:
    """Steps from token to token, half a kernel, and whether what a decoder predicts agrees.

    Of images, that tells of other steps, too, if they are as wide as high.
    """
    kernel = settings["kernel"]
    stride, times = tuple(side // 2 + 1 for side in kernel), len(settings["stages"]) - 2
    if not has_decoder(state):
        return stride, False
    values = len(state["decoder.head.weight"]) // settings["channels"] // 4**times
    if math.prod(stride[-2:]) != values and math.isqrt(values) ** 2 == values:
        stride = (*stride[:-2], math.isqrt(values), math.isqrt(values))
    return stride, len(kernel) == 2


def places(settings: dict[str, Any], state: State, told: list[Any]) -> dict[str, Any]:
    """Size and kind of positions by their tables, for signals of a size that was told, or square.

    Raises ValueError where tables are of other kinds or for other mask units.
    """
    prefix, stride = "encoder.positions.", settings["stride"]
    tables = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    known = {"table"} if len(stride) == 2 else {"along", "across"}
    unit = 2 ** (len(settings["stages"]) - 1)  # tokens along a side
    if set(tables) == {"table", "tile"} and len(stride) == 2:
        sides, coarse = (tuple(tables[name].shape[2:]) for name in ("tile", "table"))
        return windowed(coarse, sides, unit, stride, told)
    if set(tables) != known:
        fits = "one table" if len(stride) == 2 else "one of time and one of space"
        found = ", ".join(sorted(tables)) or "none"
        raise ValueError(f"the file has other positions than {fits}: {found}")
    rows = tables["across" if len(stride) == 3 else "table"].shape[1]
    planes = [size if isinstance(size, int) else tuple(size)[-2:] for size in told if size]
    size = find_size(rows, stride[-2:], planes)
    frames = (tables["along"].shape[1] * stride[0],) if len(stride) == 3 else ()
    units_of(size, [step * unit for step in stride[-2:]])
    return {"size": (*frames, *size), "positions": "published"}


def find_size(
    tokens: int, stride: tuple[int, ...], told: Sequence[int | tuple[int, ...]]
) -> tuple[int, ...]:
    """The size of images that a table of so many tokens is for: one that was told, or a square."""
    for size in map(mae_facts.pair, told):
        if math.prod(s // step for s, step in zip(size, stride, strict=True)) == tokens:
            return size
    side = math.isqrt(tokens)
    if side**2 == tokens:
        return tuple(side * step for step in stride)
    raise ValueError(
        f"{tokens} positions of tokens every {stride} pixels are no square: say what size of "
        f"images they are for, size=(height, width), on the command line --size=HEIGHT,WIDTH"
    )


def windowed(
    coarse: tuple[int, ...],
    sides: tuple[int, ...],
    unit: int,
    stride: tuple[int, ...],
    told: list[Any],
) -> dict[str, Any]:
    """Size by tables of places in mask units and of places in the image, two to a unit."""
    fits = [n / 2 * unit * step for n, step in zip(coarse, stride, strict=True)]
    file = mae_facts.pair(told[0]) if told[0] else None
    if sides != (unit, unit) or any(n % 2 for n in coarse) or file not in (None, tuple(fits)):
        raise ValueError(
            f"the file has {coarse} positions in images{f' of {file}' if file else ''} and {sides} "
            f"in mask units; here there are two a side to a unit, and {(unit, unit)} in it, so "
            f"that images of {tuple(map(int, fits))} alone would fit"
        )
    return {"size": tuple(map(int, fits)), "positions": "windowed"}
