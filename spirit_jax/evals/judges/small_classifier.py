"""A classifier of texts or of sounds that trains in seconds, for the twins of data sets: a linear layer on
counts of words, or on F0 and spectrum. A published classifier judges better.

Shapes: N examples, D features, C labels.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.optimize import minimize
from scipy.special import log_softmax

from spirit_jax.core.files import read_json, write_atomically, write_json
from spirit_jax.evals.metrics.word_errors import normalise
from spirit_jax.speech import audio
from spirit_jax.speech.encoders.f0 import track_f0
from spirit_jax.speech.encoders.mfcc import log_mel

DECAY = 1e-2  # of the squared weights, beside the mean loss; our choice
SETTINGS, WEIGHTS = "classifier.json", "classifier.safetensors"
Given = TypeVar("Given", str, np.ndarray)


@dataclasses.dataclass(frozen=True)
class SmallClassifier(Generic[Given]):
    """labels: C names. words: D words that are counted, or none for a classifier of sounds. mean_D, scale_D:
    of the features in training. weights_DC, bias_C: float64.
    """

    labels: tuple[str, ...]
    words: tuple[str, ...]
    mean_D: np.ndarray
    scale_D: np.ndarray
    weights_DC: np.ndarray
    bias_C: np.ndarray
    about: str = "small classifier"

    def classify(self, given: Sequence[Given]) -> list[str]:
        """The likeliest label of each."""
        if not len(given):
            return []
        features_ND = (_features(given, self.words) - self.mean_D) / self.scale_D
        best = (features_ND @ self.weights_DC + self.bias_C).argmax(axis=1)
        return [self.labels[i] for i in best]

    def save(self, folder: Path) -> None:
        """Writes the folder."""
        with write_atomically(folder) as partial:
            write_json(partial / SETTINGS, {"labels": self.labels, "words": self.words})
            arrays = {"mean": self.mean_D, "scale": self.scale_D, "weights": self.weights_DC}
            save_file({**arrays, "bias": self.bias_C}, partial / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> "SmallClassifier":
        """Reads the folder."""
        settings, arrays = read_json(folder / SETTINGS), load_file(folder / WEIGHTS)
        return cls(
            tuple(settings["labels"]),
            tuple(settings["words"]),
            arrays["mean"],
            arrays["scale"],
            arrays["weights"],
            arrays["bias"],
            f"{folder.name}, small classifier",
        )


def train_classifier(given: Sequence[Given], labels: Sequence[str]) -> SmallClassifier[Given]:
    """Logistic regression on all texts, or on all sounds (float32 [samples] at 16 kHz)."""
    texts = [normalise(one) for one in given if isinstance(one, str)]
    words = tuple(sorted({word for text in texts for word in text.split()}))
    features_ND, names = _features(given, words), sorted(set(labels))
    mean_D, scale_D = features_ND.mean(axis=0), features_ND.std(axis=0) + 1e-6
    x_ND = (features_ND - mean_D) / scale_D
    y_N = np.array([names.index(label) for label in labels])
    wanted_NC = np.eye(len(names))[y_N]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        matrix_EC = flat.reshape(-1, len(names))
        log_probs_NC = log_softmax(x_ND @ matrix_EC[:-1] + matrix_EC[-1], axis=1)
        slope_NC = (np.exp(log_probs_NC) - wanted_NC) / len(y_N)
        slope_EC = np.vstack([x_ND.T @ slope_NC + DECAY * matrix_EC[:-1], slope_NC.sum(axis=0)])
        value = -log_probs_NC[np.arange(len(y_N)), y_N].mean() + DECAY / 2 * (matrix_EC[:-1] ** 2).sum()
        return value, slope_EC.ravel()

    start = np.zeros((x_ND.shape[1] + 1) * len(names))
    found_EC = minimize(loss, start, jac=True, method="L-BFGS-B").x.reshape(-1, len(names))
    return SmallClassifier(tuple(names), words, mean_D, scale_D, found_EC[:-1], found_EC[-1])


def _features(given: Sequence[Given], words: tuple[str, ...]) -> np.ndarray:
    """float64 [N, D]."""
    if words:
        index = {word: i for i, word in enumerate(words)}
        counts_ND = np.zeros((len(given), len(words)))
        for row, text in enumerate(given):
            for word in normalise(str(text)).split():
                if word in index:
                    counts_ND[row, index[word]] += 1
        return counts_ND
    wavs = [
        np.pad(wav, (0, max(0, audio.MIN_SAMPLES - len(wav)))) for wav in given if not isinstance(wav, str)
    ]
    return np.stack([_describe(f0_F, mel_FM) for f0_F, mel_FM in zip(track_f0(wavs), log_mel(wavs))])


def _describe(f0_F: np.ndarray, mel_FM: np.ndarray) -> np.ndarray:
    """Mean and spread of F0 in octaves, the share of voiced frames, mean and spread of each band."""
    octaves = np.log2(f0_F[f0_F > 0]) if (f0_F > 0).any() else np.zeros(1)
    voice = [octaves.mean(), octaves.std(), (f0_F > 0).mean()]
    return np.concatenate([voice, mel_FM.mean(axis=0), mel_FM.std(axis=0)]).astype(np.float64)
