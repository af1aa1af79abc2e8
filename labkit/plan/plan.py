"""The verb `plan`: find out what a class will take, before anything starts, and change nothing."""

from dataclasses import replace

from labkit.classroom import Request, read_class
from labkit.plan.judgement import judge_class, judge_images, judge_machines
from labkit.plan.line import packages
from labkit.plan.loads import load, totals
from labkit.plan.outcome import Plan
from labkit.plan.question import ask_all
from labkit.plan.survey import Survey
from labkit.post import Lost
from labkit.run import choose
from labkit.scratch import run_directory

# Where no machine answers, its images have a size all the same.
USUAL_ARCHITECTURE = "amd64"


def make_plan(
    request: Request, *, forks: int | None = None, retry_failed: bool = False
) -> Plan | None:
    """
    Return the plan of the chosen machines; None if nothing was left to retry.

    Raises:
        BadInput: No machine was asked anything.
    """
    with run_directory() as scratch:
        known = read_class(request, scratch)
        machines = choose(known, retry_failed=retry_failed)
        if not machines:
            return None
        survey = Survey(known, machines, scratch)
        answers = ask_all(machines, {}, scratch, forks)
        seen = {name: one for name, one in answers.items() if not isinstance(one, Lost)}
        away = {name: str(one) for name, one in answers.items() if isinstance(one, Lost)}
        kinds = {one["architecture"] for one in seen.values()} or {USUAL_ARCHITECTURE}
        images = survey.images(kinds)
        loads = tuple(
            load(one, survey.references[one.name], seen[one.name], images.sizes)
            for one in machines
            if one.name in seen
        )
        depot, wrong = survey.depot(loads)
        speed, limits = survey.speed(loads), survey.limits()
    systems = [one.system for one in loads]
    carried = packages(systems, once=False), packages(systems, once=True)
    plan = Plan(
        loads, depot, bool(known.depot), totals(loads, depot), carried, limits, speed, images.source
    )
    unknown = {name: images.wrong.get(name) for one in loads for name in one.unknown}
    wrong += [*judge_machines(loads, away), *judge_images(unknown), *judge_class(plan)]
    return replace(plan, warnings=tuple(wrong))
