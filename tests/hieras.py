"""Hiera by its official names, and as a classifier."""

from maskedae.answers import Answers
from maskedae.classifier import Classifier
from maskedae.models.layouts.hiera_names import OFFICIAL


def official(model):
    """Parameters of a model by their official names."""
    return OFFICIAL.to_theirs(dict(model.named_parameters()))


def classifier(encoder, classes):
    return Classifier(encoder, Answers("class", tuple(map(str, range(classes)))))
