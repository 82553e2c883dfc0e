"""Model cards: what a model is, where it comes from, how good it is, and how to use it."""

import textwrap
from types import ModuleType
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from maskedae.pairs import in_words

KINDS = {
    "MaskedAutoencoder": ("a masked autoencoder, encoder and decoder", "out = model(signal)"),
    "AudioVideoAutoencoder": (
        "a masked autoencoder of sound and picture",
        "out = model(maskedae.Pair(audio, video, heard, seen))",
    ),
    "EncoderOnly": ("an encoder", "tokens = model.encoder(signal)"),
    "Detector": ("a detector", "found = model([picture])  # boxes, labels, scores"),
    "Classifier": ("a classifier", "answers = model.answers.read(model(signal))"),
}


def system_of(recipe: dict[str, Any]) -> ModuleType:
    """The model file, which knows its paper and what its classifiers are called."""
    from maskedae.zoo import model_file  # which needs the models, which need this

    return model_file(recipe["model"]["name"])


def make_card(kind: str, recipe: dict[str, Any], parameters: int) -> ModelCard:
    """The card of a model of that class."""
    scores = recipe.get("results", {}).get("scores", {})
    system = system_of(recipe)
    data = ModelCardData(
        license=recipe.get("licence"),
        library_name="maskedae",
        pipeline_tag=system.PIPELINE if kind == "Classifier" else None,
        tags=["maskedae", "masked-autoencoder", recipe["model"]["name"]],
        metrics=sorted(scores) or None,
    )
    parts = [_title(kind, recipe, parameters), _usage(kind), _provenance(recipe), _recipe(recipe)]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n")


def export_card(library: str, recipe: dict[str, Any], use: str) -> ModelCard:
    """The card of a model for another library."""
    name = recipe["model"]["name"]
    data = ModelCardData(license=recipe.get("licence"), library_name=library, tags=["maskedae"])
    parts = [f"# {name}", f"Exported by maskedae.\n\n```python\n{use}\n```"]
    parts += [_outputs(recipe), _provenance(recipe)]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(filter(None, parts)) + "\n")


def _title(kind: str, recipe: dict[str, Any], parameters: int) -> str:
    from maskedae.zoo import model_config  # which needs the models, which need this

    name = recipe["model"]["name"]
    size = model_config(**recipe["model"]).size
    what = f"{KINDS[kind][0]} of {parameters / 1e6:.1f} million parameters"
    paper = system_of(recipe).PAPER
    link = f"[arXiv:{paper}](https://arxiv.org/abs/{paper})"
    lines = [f"# {name}", f"`{name}`: {what}, of masked autoencoding as in {link}."]
    most = ", and smaller ones" if "detector" in recipe else ""
    lines.append(f"It takes signals of {in_words(size)}{most}.")
    head = recipe.get("head") or recipe.get("detector")
    if head and head.get("kind") != "value":
        classes = head["classes"]
        more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
        lines.append(f"It tells {len(classes)} classes: {', '.join(classes[:20])}{more}.")
    return "\n\n".join(lines)


def _outputs(recipe: dict[str, Any]) -> str:
    """What the outputs of a classifier mean, for whoever has nothing but the file."""
    head = recipe.get("head")
    if not head:
        return ""
    if head["kind"] == "value":
        text = f"One value: output * {head['std']!r} + {head['mean']!r}."
    else:
        how = "softmax: one of" if head["kind"] == "class" else "sigmoid of each: any of"
        names = "\n".join(f"{number}. {name}" for number, name in enumerate(head["classes"]))
        text = f"Logits; probabilities by {how} these classes, by number of the output:\n\n{names}"
    return f"## Outputs\n\n{text}"


def _usage(kind: str) -> str:
    code = f"""\
        import maskedae

        model = maskedae.load("hf-hub:OWNER/NAME")  # or a folder
        {KINDS[kind][1]}"""
    return (
        f"## How to use it\n\n```python\n{textwrap.dedent(code)}\n```\n\n"
        "`maskedae export` brings it to timm, transformers, ONNX and torch.export. How signals are "
        "prepared stands in `preprocessor_config.json`."
    )


def _provenance(recipe: dict[str, Any]) -> str:
    results, lines = recipe.get("results", {}), list[str]()
    for name, value in results.get("scores", {}).items():
        lines.append(f"- {name}: {value:.4g}")
    if "data" in results:
        lines.append(f"- fingerprint of the data: `{results['data']}`")
    if "step" in results:
        lines.append(f"- steps: {results['step']}")
    if "source" in recipe:
        lines.append(f"- made from the weights of {recipe['source']}")
    licence = recipe.get("licence")
    if licence:
        lines.append(f"- licence of the weights that it was made from: {licence}")
    if "digest" in recipe:
        lines.append(f"- digest of the imported weights: `{recipe['digest']}`")
    return "## Where it comes from\n\n" + "\n".join(lines) if lines else ""


def _recipe(recipe: dict[str, Any]) -> str:
    kept = {name: recipe[name] for name in ("model", "masker", "data", "train") if name in recipe}
    plain = yaml.safe_dump(_plain(kept), sort_keys=False)
    return f"## Recipe\n\n```yaml\n{plain}```"


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _plain(value) for name, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, (list, tuple)) else node
