"""Which samples of a source a training draws, as its settings say."""

import hashlib

from maskedae.data import Source
from maskedae.sampling import Plan
from maskedae.settings import Train


def plan_of(source: Source, settings: Train) -> Plan:
    """Which samples of a source make the batch of every step."""
    return Plan(
        source.shares,
        settings.batch_size,
        settings.epochs,
        settings.seed,
        settings.samples_per_epoch,
        None if source.weights is None else source.weights.numpy(),
        settings.replacement,
    )


def fingerprint(source: Source) -> str:
    """Of which samples these are, and of how often each is drawn."""
    if source.weights is None:
        return source.fingerprint
    digest = hashlib.blake2b(source.weights.numpy().data, digest_size=8)
    return f"{source.fingerprint}-{digest.hexdigest()}"
