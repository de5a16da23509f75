"""Failures an analysis foresees: a code for programs, a sentence for the analyst."""

from enum import StrEnum

__all__ = ["AnalysisError", "Problem"]


class Problem(StrEnum):
    """What is wrong with the input of an analysis."""

    BAD_INPUT = "bad_input"
    BAD_PLAN = "bad_plan"
    EMPTY_MARGIN = "empty_margin"
    MISSING_COLUMN = "missing_column"
    MISSING_VALUES = "missing_values"
    NO_EVENTS = "no_events"
    NOT_CONVERGED = "not_converged"
    NOT_ESTIMABLE = "not_estimable"
    SEPARATED = "separated"
    TOO_LARGE = "too_large"


class AnalysisError(Exception):
    """An analysis cannot be done as asked.

    Parameters
    ----------
    problem : Problem
        The code.
    sentence : str
        What was expected and what was found.
    """

    def __init__(self, problem: Problem, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = problem
        self.sentence = sentence
