"""How long each stage took on the server, from the counters that it keeps anyway."""

import re
import time
import urllib.request
from dataclasses import dataclass

from avatar_client.client import AvatarClient
from avatar_client.errors import AvatarClientError

STAGES = ("audio_encoder", "motion", "rasterizer", "enhancer", "stabilizer")
STAGE_METRIC = "avatar_stage_ms"
"""Histogram with the label `stage`, observed by the avatar model for each call of a stage."""

REPORTED_AFTER_S = 0.25
"""The page shows what happened with a delay of 0.1 s, and somewhat more on a busy machine."""

_SAMPLE = re.compile(rf"^{STAGE_METRIC}_(sum|count){{(.*?)}} ([0-9.eE+-]+)$", re.MULTILINE)
_STAGE_LABEL = re.compile(r'stage="([^"]*)"')


@dataclass(frozen=True, slots=True)
class StageTime:
    """Attributes:
    total_ms: time spent in the stage.
    calls: how often it ran; the audio stages run for windows, the others for frames.
    """

    total_ms: float
    calls: int

    @property
    def mean_ms(self) -> float:
        return self.total_ms / self.calls if self.calls else 0.0


Snapshot = dict[str, StageTime]


def snapshot(client: AvatarClient, metrics_url: str) -> Snapshot:
    """The counters as they are: the avatar model's own histogram, or else Triton's statistics of the stage models.

    Empty where neither can be had. Waits until what has happened so far is on the page.
    """
    time.sleep(REPORTED_AFTER_S)
    return parse_metrics(_fetch(metrics_url)) or _from_statistics(client)


def difference(before: Snapshot, after: Snapshot) -> Snapshot:
    """What happened between two snapshots, in the order of the stages; those that did not run are left out."""
    zero = StageTime(0.0, 0)
    changes = {
        stage: StageTime(now.total_ms - before.get(stage, zero).total_ms, now.calls - before.get(stage, zero).calls)
        for stage, now in after.items()
    }
    in_order = sorted(changes, key=lambda stage: STAGES.index(stage) if stage in STAGES else len(STAGES))
    return {stage: changes[stage] for stage in in_order if changes[stage].calls > 0}


def parse_metrics(text: str) -> Snapshot:
    """The stage histogram of a Prometheus page, summed over all labels but `stage`."""
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    for kind, labels, value in _SAMPLE.findall(text):
        stage = _STAGE_LABEL.search(labels)
        if stage:
            table = sums if kind == "sum" else counts
            table[stage[1]] = table.get(stage[1], 0.0) + float(value)
    return {stage: StageTime(total_ms, round(counts.get(stage, 0))) for stage, total_ms in sums.items()}


def _fetch(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _from_statistics(client: AvatarClient) -> Snapshot:
    try:
        statistics = client.statistics()
    except AvatarClientError:
        return {}
    found = {}
    for model in statistics.model_stats:
        if model.name in STAGES and model.execution_count:
            compute = model.inference_stats
            total_ns = compute.compute_input.ns + compute.compute_infer.ns + compute.compute_output.ns
            found[model.name] = StageTime(total_ns / 1e6, model.inference_count)
    return found
