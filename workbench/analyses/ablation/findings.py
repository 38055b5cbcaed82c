"""What the measurements come to: means with intervals, each beside its null."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.bootstrap import ratio_of_means

MOST = 12
"""Images that change most."""
NAMED = 10
"""Classes named in the summary."""
STREAM = 2
"""Of random numbers, for the bootstrap."""

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


def overall(
    found: Arrays, concept: npt.NDArray[np.int64], drawn: npt.NDArray[np.int64], seed: int
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the part of the summary that hold for all images together.

    Parameters
    ----------
    found
        What `Outcome.per_image` returns.
    concept
        A number for the concept of each image that was seen.
    drawn
        Units of the null, ``draw unit``.
    """
    scale = found["scale"]
    effect = ratio_of_means(found["change"], concept, [seed, STREAM], scale)
    change = found["change"] / scale.mean() if scale.any() else found["change"]
    most = np.argsort(-np.abs(change), kind="stable")[:MOST]
    arrays = {name: found[name] for name in found if name not in ("change", "scale", "null")}
    arrays |= {"change": change, "most_image": found["image"][most], "most_change": change[most], "null_units": drawn}
    summary: dict[str, Any] = {
        "change": plain(effect.value),
        "change_low": plain(effect.low),
        "change_high": plain(effect.high),
        "detectable": plain(effect.detectable),
        "concepts": effect.groups,
        "null_draws": len(drawn),
        "null_images": len(found.get("null_image", ())),
    }
    if "null" not in found:
        nothing = {"null_image": np.zeros(0, np.int64), "null_change": np.zeros(0)}
        return arrays | nothing, summary | {"null_missing": "the layer has not as many other units"}
    compared = np.isin(found["image"], found["null_image"])
    null, own = found["null"].mean(0), found["change"][compared].mean()
    if scale[compared].any():
        null, own = null / scale[compared].mean(), own / scale[compared].mean()
    low, high = np.quantile(null, (0.025, 0.975)).tolist()
    return arrays | {"null_change": null}, summary | {
        "change_on_null_images": float(own),
        "null_mean": float(null.mean()),
        "null_low": low,
        "null_high": high,
        "percentile": percentile(own, null),
        "p": float((1 + (np.abs(null) >= abs(own)).sum()) / (1 + len(null))),
    }


def by_class(
    found: Arrays, concept: npt.NDArray[np.int64], labels: Sequence[str], seed: int, *, labelled: bool
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays and the part of the summary that tell classes apart.

    Parameters
    ----------
    labels
        Names of the classes.
    labelled
        Whether the classes are those the image set names, so that being right means something.
    """
    of, number = found["class"], len(labels)
    intervals = [
        ratio_of_means(found["change"][of == place], concept[of == place], [seed, STREAM, place])
        for place in range(number)
    ]
    arrays: dict[str, Array] = {
        "class_names": np.array(labels, np.str_),
        "class_change": np.array([one.value for one in intervals]),
        "class_low": np.array([one.low for one in intervals]),
        "class_high": np.array([one.high for one in intervals]),
        "class_images": np.bincount(of, minlength=number),
        "class_concepts": np.array([one.groups for one in intervals]),
    }
    fallen = np.argsort(arrays["class_change"])[: min(NAMED, len(np.unique(of)))]
    summary: dict[str, Any] = {
        "kl": float(found["kl"].mean()),
        "top1_changed": float((found["top_clean"] != found["top_ablated"]).mean()),
        "classes": [
            {
                "class": labels[place],
                "change": intervals[place].value,
                "low": plain(intervals[place].low),
                "high": plain(intervals[place].high),
                "images": int(arrays["class_images"][place]),
                "concepts": intervals[place].groups,
            }
            for place in fallen.tolist()
        ],
    }
    if labelled:
        summary |= {f"accuracy_{run}": float((found[f"top_{run}"] == of).mean()) for run in ("clean", "ablated")}
    if "null" in found:
        compared = np.isin(found["image"], found["null_image"])
        null = class_means(found["null"], of[compared], number).T
        own = class_means(found["change"][compared], of[compared], number)
        arrays |= {"null_class_change": null, "class_change_on_null": own}
        falls = np.nanmin(null, 1).clip(max=0)
        summary["class_percentile"] = percentile(np.nanmin(own).clip(max=0), falls)
    return arrays, summary


def class_means(values: Array, classes: Array, number: int) -> Array:
    """Average ``image ...`` over the images of each class, to ``class ...``; NaN for a class without images."""
    count = np.bincount(classes, minlength=number).astype(float)
    total = np.zeros((number, *values.shape[1:]))
    np.add.at(total, classes, values)
    with np.errstate(invalid="ignore"):
        means: Array = total / count.reshape(-1, *[1] * (values.ndim - 1))
    return means


def percentile(value: float, null: Array) -> float:
    """Return the per cent of null values that are smaller in size, and half of those that are as large."""
    sizes = np.abs(null)
    return float(100 * ((sizes < abs(value)).mean() + (sizes == abs(value)).mean() / 2))


def plain(value: float) -> float | None:
    """Return None for what could not be measured: JSON knows no NaN."""
    return None if math.isnan(value) else float(value)
