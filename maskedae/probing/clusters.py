"""How well clusters that were found without labels agree with classes."""

import numpy as np
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor


def matched_accuracy(labels: np.ndarray, clusters: np.ndarray) -> float:
    """Accuracy once every cluster stands for the class that suits best, each for another: (n,)."""
    table = contingency_matrix(labels, clusters)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / table.sum())


def cluster_scores(features: Tensor, labels: Tensor, count: int) -> dict[str, float]:
    """Agreement of k-means on L2-normalised features with classes: (n, D), (n,).

    Accuracy after matching, normalised mutual information, adjusted Rand index; the best of ten
    starts by its own criterion.
    """
    means = KMeans(count, n_init=10, random_state=0)
    clusters, truth = means.fit_predict(F.normalize(features, dim=1).numpy()), labels.numpy()
    return {
        "ACC": matched_accuracy(truth, clusters),
        "NMI": float(normalized_mutual_info_score(truth, clusters)),
        "ARI": float(adjusted_rand_score(truth, clusters)),
    }
