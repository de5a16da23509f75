"""Times to events, each with the rule that ended it: OS, PFS three ways, TTP, duration of response.

FDA: Clinical Trial Endpoints for the Approval of Cancer Drugs and Biologics
(2018), and its table of censoring; EMA: appendix 1 to the guideline on
anticancer medicinal products (EMA/CHMP/27994/2008). Days are counted from the
start (a death on the day of diagnosis is 0 days); ADaM's AVAL adds one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from analysis.recist.results import TimePoint
from analysis.subjects import Subject
from records.reads import Response

__all__ = [
    "DAYS_PER_MONTH",
    "EndRule",
    "Follow",
    "Parameter",
    "Schedule",
    "TimeToEvent",
    "duration_of_response",
    "follow_up",
    "overall_survival",
    "progression_free_survival",
    "progression_free_survival_ema",
    "progression_free_survival_fda",
    "time_to_progression",
]

DAYS_PER_MONTH = 30.4375  # 365.25 / 12


class Parameter(StrEnum):
    """What is timed; the paper's definitions have the plain names."""

    OS = "OS"
    PFS = "PFS"  # the paper's: first objective or clinical sign of progression, or death
    PFS_FDA = "PFSFDA"
    PFS_EMA = "PFSEMA"
    TTP = "TTP"
    DOR = "DOR"


class EndRule(StrEnum):
    """What ended a time: an event, or the reason for censoring."""

    DEATH = "death"
    PROGRESSION = "progression"
    CLINICAL_PROGRESSION = "clinical progression"
    ALIVE = "alive at last contact"
    NO_EVENT = "no event by the last adequate scan"
    NEVER_ASSESSED = "no adequate scan after the start"
    NO_BASELINE = "no baseline scan"
    NEW_THERAPY = "new anticancer therapy"
    MISSED_VISITS = "event after two or more missed visits"
    DEATH_CENSORED = "death without progression"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When scans were due.

    Attributes
    ----------
    phases : tuple of (int, int or None)
        Interval in days, and the day from the start until which it holds
        (None: to the end). Every 6 weeks for 48, then every 12:
        `((42, 336), (84, None))`.
    window_days : int
        How late or early a scan may be and still be that visit.
    """

    phases: tuple[tuple[int, int | None], ...] = ((42, None),)
    window_days: int = 7

    def due_days(self, until_day: int) -> list[int]:
        """Return the days from the start on which a scan was due, up to `until_day`."""
        days: list[int] = []
        day = 0
        for interval, until in self.phases:
            while day + interval <= (until_day if until is None else min(until, until_day)):
                day += interval
                days.append(day)
        return days

    def missed(self, start: date, last_scan: date, event: date) -> int:
        """Count the visits whose whole window lies between the last scan and the event."""
        after = (last_scan - start).days
        before = (event - start).days
        return sum(
            due - self.window_days > after and due + self.window_days < before
            for due in self.due_days(before)
        )


@dataclass(frozen=True, slots=True)
class TimeToEvent:
    """One time of one patient.

    `sentence` says with dates which rule ended it; `came_from` names the
    evaluator, empty where no scan decides.
    """

    subject_id: str
    parameter: Parameter
    start: date
    end: date
    is_event: bool
    rule: EndRule
    sentence: str
    came_from: str = ""

    @property
    def days(self) -> int:
        """Days from start to end."""
        return (self.end - self.start).days

    @property
    def months(self) -> float:
        """Months of 30.4375 days."""
        return self.days / DAYS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Follow:
    """A patient's scans by one evaluator, as the endpoints need them."""

    has_baseline: bool
    adequate_days: tuple[date, ...]  # last scan day of every time point that could be judged
    progression: date | None
    came_from: str = ""

    def last_adequate(self, until: date | None = None) -> date | None:
        """Return the last adequate scan, or the last one up to and including a day."""
        return max((day for day in self.adequate_days if until is None or day <= until), default=None)


def follow_up(points: Sequence[TimePoint], *, has_baseline: bool = True) -> Follow:
    """Gather what the endpoints need from the time points of one patient by one evaluator.

    A time point that progressed counts as progression, not as an adequate scan
    without it; time points after the first progression are left out. The day
    of an adequate scan is that of its last component.
    """
    adequate = []
    progression = None
    for point in points:
        if point.overall_response is Response.PD:
            progression = point.progression_day or point.day
            break
        if point.is_adequate:
            adequate.append(point.last_scan_day)
    if progression is not None:
        adequate = [day for day in adequate if day < progression]
    names = dict.fromkeys(point.evaluator.label for point in points)
    return Follow(has_baseline, tuple(adequate), progression, ", ".join(names))


def overall_survival(subject: Subject, *, start: date | None = None) -> TimeToEvent | None:
    """Time from diagnosis to death of any cause.

    Parameters
    ----------
    subject : Subject
    start : date, optional
        Another start, such as that of treatment.

    Returns
    -------
    TimeToEvent or None
        None without a start, or without any date later on.
    """
    start = start or subject.diagnosis
    if start is None:
        return None
    if subject.death is not None:
        return _time(subject, Parameter.OS, start, subject.death, EndRule.DEATH, "died")
    if subject.last_known_alive is None:
        return None
    return _time(subject, Parameter.OS, start, subject.last_known_alive, EndRule.ALIVE, "last known alive")


def progression_free_survival(subject: Subject, scans: Follow) -> TimeToEvent | None:
    """Time from first-line start to the first objective or clinical sign of progression or death.

    The paper's definition. It does not say when patients without an event are
    censored; here it is the last adequate scan, or the start if there is none.
    """
    start = subject.treatment_start
    if start is None:
        return None
    events = _events(subject, scans)
    if subject.clinical_progression is not None:
        events.append((subject.clinical_progression, EndRule.CLINICAL_PROGRESSION))
    return _first_event_or_scan(subject, Parameter.PFS, start, scans, events)


def progression_free_survival_ema(subject: Subject, scans: Follow) -> TimeToEvent | None:
    """Time to objective progression or death, whatever was missed or given in between (EMA)."""
    if subject.treatment_start is None:
        return None
    return _first_event_or_scan(
        subject, Parameter.PFS_EMA, subject.treatment_start, scans, _events(subject, scans)
    )


def progression_free_survival_fda(
    subject: Subject, scans: Follow, schedule: Schedule | None = None
) -> TimeToEvent | None:
    """Time to objective progression or death, censored as FDA's primary analysis does.

    Without a baseline, or without an adequate scan after it, the time is
    censored at the start unless death came before two visits were missed. A
    new anticancer therapy, or two missed visits before the event, censor at
    the last adequate scan before them. A single missed visit does not.
    """
    start = subject.treatment_start
    if start is None:
        return None
    schedule = schedule or Schedule()
    event = min(_events(subject, scans), default=None)
    if not scans.has_baseline:
        event = None if subject.death is None else (subject.death, EndRule.DEATH)
    last_scan = scans.last_adequate(event[0] if event else None)
    therapy = subject.new_therapy
    if therapy is not None and (event is None or therapy < event[0]):
        last_scan = scans.last_adequate(therapy)
        words = f"new therapy on {therapy}, {_last_scan_words(last_scan)}"
        return _time(subject, Parameter.PFS_FDA, start, last_scan or start, EndRule.NEW_THERAPY, words, scans)
    if event is not None:
        day, rule = event
        missed = schedule.missed(start, last_scan or start, day)
        if missed < 2:
            return _time(subject, Parameter.PFS_FDA, start, day, rule, _event_words(rule), scans)
        words = f"{rule} on {day} after {missed} missed visits, {_last_scan_words(last_scan)}"
        return _time(
            subject, Parameter.PFS_FDA, start, last_scan or start, EndRule.MISSED_VISITS, words, scans
        )
    if not scans.has_baseline:
        return _time(
            subject, Parameter.PFS_FDA, start, start, EndRule.NO_BASELINE, "censored at the start", scans
        )
    return _no_event(subject, Parameter.PFS_FDA, start, scans)


def time_to_progression(
    subject: Subject, scans: Follow, *, death_of_progression_counts: bool = False
) -> TimeToEvent | None:
    """Time from first-line start to objective progression; death does not count.

    FDA censors every death. `death_of_progression_counts` takes a death known
    to be of progression for one.
    """
    start = subject.treatment_start
    if start is None:
        return None
    if scans.progression is not None:
        words = _event_words(EndRule.PROGRESSION)
        return _time(subject, Parameter.TTP, start, scans.progression, EndRule.PROGRESSION, words, scans)
    if subject.death is None:
        return _no_event(subject, Parameter.TTP, start, scans)
    if death_of_progression_counts and subject.died_of_progression:
        return _time(
            subject, Parameter.TTP, start, subject.death, EndRule.DEATH, "died of progression", scans
        )
    words = "died without objective progression"
    return _time(subject, Parameter.TTP, start, subject.death, EndRule.DEATH_CENSORED, words, scans)


def duration_of_response(
    subject: Subject, first_response: date | None, progression_free: TimeToEvent | None
) -> TimeToEvent | None:
    """Time from the first CR or PR (confirmed later, where that is asked for) to progression or death.

    Parameters
    ----------
    subject : Subject
    first_response : date or None
        Day of the response; None for a patient who did not respond.
    progression_free : TimeToEvent or None
        The PFS whose end, and censoring, the duration shares.

    Returns
    -------
    TimeToEvent or None
        None for a patient who did not respond, or whose PFS ended before the response.
    """
    if first_response is None or progression_free is None or progression_free.end < first_response:
        return None
    return TimeToEvent(
        subject_id=subject.subject_id,
        parameter=Parameter.DOR,
        start=first_response,
        end=progression_free.end,
        is_event=progression_free.is_event,
        rule=progression_free.rule,
        sentence=f"response on {first_response}; {progression_free.sentence}",
        came_from=progression_free.came_from,
    )


def _events(subject: Subject, scans: Follow) -> list[tuple[date, EndRule]]:
    events = []
    if scans.progression is not None and scans.has_baseline:
        events.append((scans.progression, EndRule.PROGRESSION))
    if subject.death is not None:
        events.append((subject.death, EndRule.DEATH))
    return events


def _first_event_or_scan(
    subject: Subject,
    parameter: Parameter,
    start: date,
    scans: Follow,
    events: list[tuple[date, EndRule]],
) -> TimeToEvent:
    if not events:
        return _no_event(subject, parameter, start, scans)
    day, rule = min(events, key=lambda event: event[0])
    return _time(subject, parameter, start, day, rule, _event_words(rule), scans)


def _no_event(subject: Subject, parameter: Parameter, start: date, scans: Follow) -> TimeToEvent:
    last_scan = scans.last_adequate()
    if last_scan is None:
        words = "no adequate scan after the start"
        return _time(subject, parameter, start, start, EndRule.NEVER_ASSESSED, words, scans)
    return _time(subject, parameter, start, last_scan, EndRule.NO_EVENT, "last adequate scan", scans)


def _time(
    subject: Subject,
    parameter: Parameter,
    start: date,
    end: date,
    rule: EndRule,
    words: str,
    scans: Follow | None = None,
) -> TimeToEvent:
    is_event = rule in (EndRule.DEATH, EndRule.PROGRESSION, EndRule.CLINICAL_PROGRESSION)
    if end < start:
        words, end = f"{words} on {end}, before the start", start
    return TimeToEvent(
        subject_id=subject.subject_id,
        parameter=parameter,
        start=start,
        end=end,
        is_event=is_event,
        rule=rule,
        sentence=f"{'event' if is_event else 'censored'} on {end}: {words}",
        came_from=scans.came_from if scans else "",
    )


def _event_words(rule: EndRule) -> str:
    return {
        EndRule.DEATH: "died",
        EndRule.PROGRESSION: "objective progression",
        EndRule.CLINICAL_PROGRESSION: "clinical sign of progression",
    }[rule]


def _last_scan_words(last_scan: date | None) -> str:
    return f"last adequate scan before it {last_scan}" if last_scan else "no adequate scan before it"
