import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from spirit_jax.speech.quantizers.discriminant import fit_discriminant


def draw_points(classes=6, count=3000, size=10, seed=0):
    """Points around the means of classes, with noise that is large in directions that say nothing."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) * np.geomspace(0.1, 10, size)
    class_N = rng.integers(0, classes, count)
    return (rng.normal(size=(count, size)) @ mixing + rng.normal(size=(classes, size))[class_N]), class_N


def test_directions_are_those_of_scikit_learn_but_for_the_shrinkage():
    """Its solver "eigen" has the same definition; there `shrinkage` is a share of the mean variance too."""
    x_ND, class_N = draw_points()
    ours_ND = x_ND.astype(np.float32) @ fit_discriminant(x_ND.astype(np.float32), class_N, 4)
    theirs = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.01, n_components=4).fit(x_ND, class_N)
    theirs_ND = theirs.transform(x_ND)
    for ours_N, theirs_N in zip(ours_ND.T, theirs_ND.T):
        assert abs(np.corrcoef(ours_N, theirs_N)[0, 1]) > 0.999


def test_points_of_a_class_have_unit_variance_and_classes_differ_most_in_the_first_direction():
    """The variance within classes includes that share of a spherical one which gives it an inverse."""
    x_ND, class_N = draw_points(seed=1)
    direction_DP = fit_discriminant(x_ND.astype(np.float32), class_N, 5)
    means_CD = np.stack([x_ND[class_N == c].mean(axis=0) for c in range(6)])
    within_DD = np.cov((x_ND - means_CD[class_N]).T, bias=True)
    within_DD = 0.99 * within_DD + 0.01 * within_DD.trace() / 10 * np.eye(10)
    np.testing.assert_allclose(direction_DP.T @ within_DD @ direction_DP, np.eye(5), atol=1e-4)
    assert (np.diff((means_CD @ direction_DP).var(axis=0)) <= 0).all()
