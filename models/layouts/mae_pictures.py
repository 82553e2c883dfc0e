"""How pictures are prepared for an image MAE, in the words of others."""

from typing import Any

from maskedae.datasets.images import Images


def data(mean: Any, std: Any, crop: float | None) -> dict[str, Any]:
    """The section `data` of a recipe."""
    told = {"mean": mean, "std": std, "eval_crop": crop}
    settings = {name: value for name, value in told.items() if value is not None}
    for name in ("mean", "std"):
        if isinstance(settings.get(name), (int, float)):
            settings[name] = [settings[name]]
    path = f"{Images.__module__}.{Images.__qualname__}"
    return {"class_path": path, "init_args": settings}


def images(recipe: dict[str, Any]) -> Images:
    """How the pictures of a recipe are prepared."""
    settings = recipe.get("data", {}).get("init_args", {})
    kept = {name: settings[name] for name in ("mean", "std", "eval_crop") if name in settings}
    return Images(**kept)


def preprocessor(recipe: dict[str, Any]) -> dict[str, Any]:
    """What transformers' AutoImageProcessor needs to prepare pictures as evaluation does.

    Where an odd number of pixels is cut off, its centre may lie one pixel beside ours.
    """
    given, model = images(recipe), recipe["model"]
    tall, wide = model["size"]
    mean, std = given.colours.of(model["channels"])
    cropped = {"shortest_edge": int(tall / given.eval_crop)}
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": model["channels"] == 3,
        "do_resize": True,
        # A rectangle cannot be covered by one side alone: there, pictures are stretched.
        "size": cropped if tall == wide else {"height": tall, "width": wide},
        "resample": 3,  # bicubic
        "do_center_crop": tall == wide,
        "crop_size": {"height": tall, "width": wide},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": mean,
        "image_std": std,
    }
