"""Tells by the name of a metric whether it is better the lower it is."""

from __future__ import annotations

import re

WORD = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")

# What torchmetrics declares with `higher_is_better = False`; of classes for one task, what it says of the others.
TORCHMETRICS = """
    BinaryCalibrationError BinaryFairness BinaryGroupStatRates BinaryHammingDistance BinaryHingeLoss CalibrationError
    CharErrorRate ContinuousRankedProbabilityScore DeepImageStructureAndTextureSimilarity EditDistance
    ErrorRelativeGlobalDimensionlessSynthesis ExtendedEditDistance FrechetInceptionDistance HammingDistance
    HausdorffDistance HingeLoss JensenShannonDivergence KLDivergence KernelInceptionDistance
    LearnedPerceptualImagePatchSimilarity LipVertexError LogCoshError MatchErrorRate MeanAbsoluteError
    MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogError MemorizationInformedFrechetInceptionDistance
    MinkowskiDistance MulticlassCalibrationError MulticlassHammingDistance MulticlassHingeLoss MultilabelCoverageError
    MultilabelHammingDistance MultilabelRankingLoss NormalizedRootMeanSquaredError Perplexity ProcrustesDisparity
    RelativeAverageSpectralError RelativeSquaredError RetrievalFallOut RootMeanSquaredErrorUsingSlidingWindow
    SpatialDistortionIndex SpectralAngleMapper SymmetricMeanAbsolutePercentageError TotalVariation TranslationEditRate
    WeightedMeanAbsolutePercentageError WordErrorRate WordInfoLost
"""

# Of which it says nothing, and the field does.
UNDECLARED = "BinaryEER EER MulticlassEER MultilabelEER TweedieDevianceScore"

WORDS = """
    loss losses error errors err errs distance distances divergence disparity deviance misclassification
    mse rmse mae medae mape mdape smape wape wmape msle rmsle mase msse rmsse wrmsse rmspe mspe nrmse nmse nmae rse rae
    rrse mbe rmsd epe aepe mpjpe crps owa pinball huber hinge
    ce bce xent nll logloss crossentropy perplexity ppl kl kld jsd mmd emd brier brierscore ece cwce
    wer cer eer fpr fnr fdr frr fallout
    hd95 assd masd hausdorff chamfer
    fid fvd lpips dists ergas mifid
"""

PHRASES = (
    "cross entropy",
    "negative log likelihood",
    "false positive",
    "false positives",
    "false negative",
    "false negatives",
    "false discovery",
    "false omission",
    "false alarm",
    "miss rate",
    "fall out",
    "edit rate",
    "info lost",
    "information lost",
    "expected cost",
    "volume difference",
    "abs rel",
    "sq rel",
)

# These may also be what a performance is of: autism, Huntington's disease, scenes of ADE20K.
ABBREVIATIONS = "ace ade asd avd ber der eed fde hd hter kce kid mcd mce mer rbs rvd ter tre wil"
PERFORMANCES = """
    acc accuracy ap auc aucpr auprc auroc average bacc dice dsc f1 fbeta iou jaccard kappa map mcc miou ndcg nsd pq
    precision r2 recall score sens sensitivity spec specificity
"""

# Better the higher, although one of the words above is in it.
NO_LOSS = (
    "error free",
    "errors free",
    "distance intersection over union",
    "distance iou",
    "normalized surface distance",
    "normalised surface distance",
)


def words_of(key: str) -> list[str]:
    """The words of a key in small letters, apart where it has other characters, or capitals as in `valRMSE`.

    >>> words_of("val_MeanSquaredError"), words_of("RMSEUsingWindow/hd95")
    (['val', 'mean', 'squared', 'error'], ['rmse', 'using', 'window', 'hd95'])
    """
    return [word.lower() for word in WORD.findall(key.replace("@", "_at_"))]


NAMES = (*TORCHMETRICS.split(), *UNDECLARED.split())
_WORDS = frozenset([*WORDS.split(), *(name.lower() for name in NAMES)])
_PHRASES = (*PHRASES, *(" ".join(words_of(name)) for name in NAMES))
_ABBREVIATIONS, _PERFORMANCES = frozenset(ABBREVIATIONS.split()), frozenset(PERFORMANCES.split())


def is_lower_better(key: str) -> bool:
    """Whether what a key names is better the lower it is: a loss, an error, a distance, a calibration error.

    >>> is_lower_better("val_SMAPE"), is_lower_better("surface_distance"), is_lower_better("cancer_auroc")
    (True, True, False)
    """
    text = f" {' '.join(words_of(key))} "
    for phrase in NO_LOSS:
        text = text.replace(f" {phrase} ", " ")
    text = text.partition(" at ")[0] + " "  # TPR at an FPR of 1 % is a TPR
    words = {word.rstrip("0123456789") for word in text.split()} | set(text.split())
    if words & _WORDS or any(f" {phrase} " in text for phrase in _PHRASES):
        return True
    return bool(words & _ABBREVIATIONS) and not words & _PERFORMANCES


def is_r_squared(key: str) -> bool:
    """Whether a key names a coefficient of determination, which has no lowest value.

    >>> is_r_squared("val_r2"), is_r_squared("R2Score"), is_r_squared("val/r_squared"), is_r_squared("val_auroc2")
    (True, True, True, False)
    """
    text = f" {' '.join(words_of(key.replace('²', '2')))} "
    return any(f" {name} " in text for name in ("r2", "r 2", "rsq", "rsquared", "r squared", "r square"))
