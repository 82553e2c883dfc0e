"""Short sounds of ten kinds, made by formulas and written as WAV files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

RATE, SECONDS = 16000, 0.96
EACH = 120  # sounds of a kind
Wave = np.ndarray
TIME = np.arange(int(RATE * SECONDS)) / RATE
MAJOR, MINOR = (1.0, 1.25, 1.5), (1.0, 1.2, 1.5)


def tone(pitch: float | Wave) -> Wave:
    """A sine of a pitch in Hz, or of one that changes: -> (samples,)."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(pitch, TIME.shape)) / RATE)


def harmonics(pitch: float | Wave, count: int = 6) -> Wave:
    """A tone with overtones, each softer than the one before."""
    parts = (tone(np.multiply(pitch, n)) / n for n in range(1, count + 1))
    return sum(parts, start=np.zeros(len(TIME)))


def pulses(rng: np.random.Generator, gap: float, length: float) -> Wave:
    """Bursts of noise that die away, so many seconds apart."""
    since = (TIME + rng.uniform(0, gap)) % gap
    return rng.standard_normal(len(TIME)) * np.exp(-since / length)


def pitch_of(rng: np.random.Generator, low: float, high: float) -> float:
    """A pitch in Hz, all intervals equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def glide(rng: np.random.Generator, rising: bool) -> Wave:
    """A pitch that moves steadily by one and a half to two and a half octaves."""
    way = (TIME / SECONDS) if rising else 1 - TIME / SECONDS
    return pitch_of(rng, 150, 900) * 2 ** (rng.uniform(1.5, 2.5) * way)


def chord(rng: np.random.Generator, intervals: tuple[float, ...]) -> Wave:
    """Several harmonic tones at once."""
    root = pitch_of(rng, 150, 500)
    parts = (harmonics(root * interval, 4) for interval in intervals)
    return sum(parts, start=np.zeros(len(TIME)))


KINDS: dict[str, Callable[[np.random.Generator], Wave]] = {
    "tone": lambda rng: tone(pitch_of(rng, 200, 3000)),
    "harmonics": lambda rng: harmonics(pitch_of(rng, 120, 600)),
    "rising": lambda rng: tone(glide(rng, rising=True)),
    "falling": lambda rng: tone(glide(rng, rising=False)),
    "vibrato": lambda rng: harmonics(
        pitch_of(rng, 200, 800) * 2 ** (0.15 * np.sin(2 * np.pi * rng.uniform(4, 8) * TIME)), 3
    ),
    "tremolo": lambda rng: (
        harmonics(pitch_of(rng, 200, 800), 3)
        * (0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(4, 8) * TIME))
    ),
    "clicks": lambda rng: pulses(rng, rng.uniform(0.06, 0.2), 0.004),
    "bursts": lambda rng: pulses(rng, rng.uniform(0.2, 0.4), 0.08),
    "major": lambda rng: chord(rng, MAJOR),
    "minor": lambda rng: chord(rng, MINOR),
}


def write_sounds(folder: Path, each: int = EACH) -> None:
    """Write train/ and val/, a fifth of all, a folder for each kind; pitch and hiss differ."""
    for number, (name, make) in enumerate(KINDS.items()):
        for index in range(each):
            rng = np.random.default_rng([number, index])
            wave = make(rng)
            wave = wave / np.abs(wave).max() * rng.uniform(0.2, 0.8)
            wave += rng.standard_normal(len(wave)) * pitch_of(rng, 0.003, 0.03)
            path = folder / ("train" if index % 5 else "val") / name / f"{name}-{index:03d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.clip(wave, -1, 1), RATE)
