"""Losses and performances differ by their names: torchmetrics' and MONAI's, and those of the field."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest
import torchmetrics
import torchmetrics.functional
from torchmetrics import Metric

from lightning_pepr import PePRCallback
from lightning_pepr.callbacks._losses import NAMES, TORCHMETRICS, is_lower_better


def metrics() -> dict[str, type[Metric]]:
    """Every metric that torchmetrics exports, by name."""
    modules = [m.name for m in pkgutil.iter_modules(torchmetrics.__path__) if m.ispkg and m.name != "utilities"]
    found: dict[str, type[Metric]] = {}
    for name in ["", *(f".{each}" for each in modules if each != "functional")]:
        for kind in vars(importlib.import_module(f"torchmetrics{name}")).values():
            if inspect.isclass(kind) and issubclass(kind, Metric) and not kind.__name__.startswith("_"):
                found[kind.__name__] = kind
    return found


METRICS = metrics()
# 1 - WordInfoLost, of which torchmetrics says that it is better the lower it is.
MISTAKEN = {"WordInfoPreserved"}
LOSSES = sorted({name for name, kind in METRICS.items() if kind.higher_is_better is False} - MISTAKEN)
PERFORMANCES = sorted({name for name, kind in METRICS.items() if kind.higher_is_better is True} | MISTAKEN)
UNDECLARED = sorted(name for name, kind in METRICS.items() if kind.higher_is_better is None)


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def spellings(name: str) -> Iterator[str]:
    """As people log a metric, and collections do."""
    small = name[0].lower() + name[1:] if name[1].islower() else name
    for each in dict.fromkeys(
        [name, small, snake(name), name.lower(), snake(name).upper(), snake(name).replace("_", "-")]
    ):
        yield from (each, f"val_{each}", f"val/{each}", f"{each}/val", f"metrics/{each}_epoch", f"{each}_class0")
    yield f"val{name}"


def test_the_metrics_are_there() -> None:
    assert len(LOSSES) > 30
    assert len(PERFORMANCES) > 80


@pytest.mark.parametrize("name", [*LOSSES, *NAMES])
def test_what_torchmetrics_says_is_better_lower_is_refused(name: str) -> None:
    assert [key for key in spellings(name) if not is_lower_better(key)] == []
    with pytest.raises(ValueError, match="better the lower it is"):
        PePRCallback(f"val_{name}")


@pytest.mark.parametrize("name", PERFORMANCES)
def test_what_torchmetrics_says_is_better_higher_is_taken(name: str) -> None:
    assert [key for key in spellings(name) if is_lower_better(key)] == []


def test_the_list_is_of_torchmetrics() -> None:
    """Some of it needs further packages to be installed, or a newer version."""
    listed = set(TORCHMETRICS.split())
    assert set(LOSSES) - listed == set()
    assert listed & set(PERFORMANCES) == set()
    assert listed & set(UNDECLARED) == {"CalibrationError", "HammingDistance", "HingeLoss"}, "they make those of a task"


def test_what_torchmetrics_does_not_declare_is_as_the_field_has_it() -> None:
    assert {name for name in UNDECLARED if is_lower_better(name)} == {
        *("CalibrationError", "HammingDistance", "HingeLoss", "TweedieDevianceScore"),
        *("EER", "BinaryEER", "MulticlassEER", "MultilabelEER"),
    }


def test_functional_names_go_with_the_classes() -> None:
    """A function has a class of its name, with few exceptions, which are named here."""
    functions = {name for name in torchmetrics.functional.__all__ if name.islower()}
    of_classes = {snake(name) for name in METRICS}
    lower = {name for name in functions if is_lower_better(name)}
    assert lower - of_classes == {
        *("pairwise_euclidean_distance", "pairwise_manhattan_distance", "pairwise_minkowski_distance"),
        "word_information_lost",
    }
    assert {name for name in functions & {snake(name) for name in LOSSES} if name not in lower} == set()


def test_preserved_information_is_better_higher() -> None:
    from torchmetrics.text import WordInfoPreserved

    assert WordInfoPreserved.higher_is_better is False
    assert WordInfoPreserved()(["this is it"], ["this is it"]) > WordInfoPreserved()(["that was"], ["this is it"])


# "Metrics Reloaded" (Maier-Hein, Reinke et al., Nature Methods 2024), its metrics and their abbreviations.
RELOADED_LOWER = """
    HD HD95 HausdorffDistance hausdorff_distance_95 ASD ASSD MASD average_surface_distance
    average_symmetric_surface_distance AverageSymmetricSurfaceDistance mean_average_surface_distance
    boundary_distance ECE MCE ACE KCE CWCE expected_calibration_error class_wise_calibration_error
    kernel_calibration_error BrierScore brier RBS root_brier_score NLL negative_log_likelihood EC_expected_cost
    expected_cost absolute_volume_difference false_positives_per_image
"""
RELOADED_HIGHER = """
    Accuracy BalancedAccuracy BA balanced_accuracy CohensKappa WeightedCohensKappa kappa MCC MatthewsCorrCoef Fbeta F1
    DSC Dice IoU mIoU clDice centerline_dice NSD NormalizedSurfaceDistance normalised_surface_distance
    normalized_surface_dice SurfaceDice boundary_iou BoundaryIoU IoR mask_iou Sensitivity Specificity PPV NPV LR+
    PositiveLikelihoodRatio AUROC AP mAP FROC froc_score PQ PanopticQuality NetBenefit youden_index
    sensitivity_at_ppv AP@0.5 f1_at_iou_05 TPR@FPR=0.01 sens@1_false_positive
"""


@pytest.mark.parametrize("name", RELOADED_LOWER.split())
def test_metrics_reloaded_better_lower(name: str) -> None:
    for key in (name, f"val_{name}", f"{name}/val", f"val_{snake(name)}"):
        assert is_lower_better(key), key


@pytest.mark.parametrize("name", RELOADED_HIGHER.split())
def test_metrics_reloaded_better_higher(name: str) -> None:
    for key in (name, f"val_{name}", f"{name}/val", f"val_{snake(name)}"):
        assert not is_lower_better(key), key


def test_monais_metrics() -> None:
    monai = pytest.importorskip("monai.metrics", reason="comes with lightning-pepr[dev], which CI installs")
    names = {name for name in vars(monai) if re.fullmatch(r"[A-Z]\w+(Metric|Score|IoU)", name)}
    assert {name for name in names if is_lower_better(name)} - {"CalibrationErrorMetric"} == {
        *("FIDMetric", "HausdorffDistanceMetric", "LossMetric", "MAEMetric", "MAPEMetric", "MMDMetric", "MSEMetric"),
        *("AbsoluteVolumeDifferenceMetric", "RMSEMetric", "SurfaceDistanceMetric"),
    }
    assert {"SurfaceDiceMetric", "DiceMetric", "MeanIoU", "SSIMMetric", "ROCAUCMetric"} <= names


REFUSED = """
    val_loss train/loss loss_epoch valLoss LOSS loss1 val_losses bce val_bce_with_logits logloss log_loss LogLoss nrmse
    hd95 val_HD95 assd surface_distance val_SMAPE sMAPE val_MAPE valid_mse mse_val val_rmse_log quantile_loss MQLoss
    val_cross_entropy crossEntropy CE perplexity val_ppl WER cer fpr val_FNR fid LPIPS val_EER top1_err error_rate
    err@1 val_kl kl_div CRPS sCRPS pinball val_kid miss_rate edit_distance MASE owa val_dice_loss iou_loss loss/dice
"""


@pytest.mark.parametrize("key", REFUSED.split())
def test_losses_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="better the lower it is"):
        PePRCallback(key)


TAKEN = """
    val_acc val/AUROC dice_class0 glossary_acc terror_recall cancer_auroc mammae_dice floss_f1 mirror_iou hinges_acc
    error_free_rate StructuralSimilarityIndexMeasure val_recall soccer_map transfer_acc classifier_f1 forfeit_recall
    autism_asd_auc ASD_f1 ade20k_miou hd_auroc kid_acc val_dice_L1 cement_iou ace_auc lossless_ratio val_DIoU
    distance_iou pearson spearman concordance_index val_r2 explained_variance ssim psnr mrr ndcg hit_rate bleu rouge1
    tpr_at_fpr_01 val_per_class_acc far_iou maes_f1 wermer_acc silhouette
"""


@pytest.mark.parametrize("key", TAKEN.split())
def test_performances_are_not_taken_for_losses(key: str) -> None:
    PePRCallback(key)
