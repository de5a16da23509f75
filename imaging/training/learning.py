"""What is learnt from examples: sieve, gate and judge, and how much judge and network count."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imaging.classifier import Forest, Stage, Verdicts
from imaging.features import QUICK_FEATURES
from imaging.network import Network
from imaging.training.forests import grow
from imaging.training.stacking import learn_verdicts
from imaging.training.tasks import Made, Stages

__all__ = ["Learnt", "cubes_and_labels", "learn_judge", "learn_stages", "weigh"]

SIEVE_ROUNDS, GATE_ROUNDS, JUDGE_ROUNDS = 150, 150, 400
SIEVE_LOSS, GATE_LOSS = 0.006, 0.006  # of the nodules with a candidate: those inside vessels go first
JUDGE_LOSS = 0.01  # of unseen nodules, before the network is asked


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What was learnt from some patients: trees, and a network as an ONNX graph."""

    stages: Stages
    judge: Forest
    network: bytes


def _learnable(made: list[Made]) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    features = np.concatenate([m.example.features[m.example.label >= 0] for m in made])
    return features, np.concatenate([m.example.label[m.example.label >= 0] for m in made])


def learn_stages(made: list[Made]) -> Stages:
    """Grow sieve and gate on examples whose candidates were not sieved."""
    features, label = _learnable(made)
    quick = np.ascontiguousarray(features[:, :QUICK_FEATURES])
    forest = grow(quick, label, SIEVE_ROUNDS)
    odds = forest.log_odds(quick)
    sieve = Stage(forest, float(np.quantile(odds[label == 1], SIEVE_LOSS)))
    passed = odds >= sieve.least_log_odds
    features, label = features[passed], label[passed]
    forest = grow(features, label, GATE_ROUNDS)
    odds = forest.log_odds(features)
    return sieve, Stage(forest, float(np.quantile(odds[label == 1], GATE_LOSS)))


def _passes(stages: Stages, features: NDArray[np.float32]) -> NDArray[np.bool_]:
    sieve, gate = stages
    return sieve.passes(features[:, :QUICK_FEATURES]) & gate.passes(features)


def learn_judge(stages: Stages, made: list[Made]) -> Forest:
    """Grow the judge on the candidates that pass sieve and gate."""
    features, label = _learnable(made)
    passed = _passes(stages, features)
    return grow(features[passed], label[passed], JUDGE_ROUNDS)


def cubes_and_labels(made: list[Made]) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.str_]]:
    """Return all cubes, their labels, and the scan each comes from."""
    labels = [np.concatenate([m.example.label, m.example.label[m.example.label == 1]]) for m in made]
    scans = np.concatenate([np.repeat(m.task.scan, len(some)) for m, some in zip(made, labels, strict=True)])
    return np.concatenate([m.example.cubes for m in made]), np.concatenate(labels), scans


def weigh(folds: dict[str, Learnt], made: list[Made]) -> tuple[Verdicts, float]:
    """Learn how much judge and network count, on lungs they had not seen, and what the judge may drop.

    Parameters
    ----------
    folds : dict
        By scan: what was learnt from all patients but that one.
    made : list of Made
        Examples of all scans.

    Returns
    -------
    Verdicts
    float
        The least log-odds of the judge.
    """
    judges, networks, labels = [], [], []
    for scan, fold in folds.items():
        network = Network(fold.network)
        for m in made:
            if m.task.scan == scan:
                passed = np.flatnonzero(_passes(fold.stages, m.example.features))
                judges.append(fold.judge.log_odds(m.example.features[passed]))
                networks.append(network.log_odds(m.example.cubes[passed]))
                labels.append(m.example.label[passed])
    judge, seen, label = np.concatenate(judges), np.concatenate(networks), np.concatenate(labels)
    least = float(np.quantile(judge[label == 1], JUDGE_LOSS))
    worth = judge >= least
    return learn_verdicts(judge[worth], seen[worth], label[worth]), least
