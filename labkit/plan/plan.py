"""The verb `plan`: find out what a class will take, before anything starts, and change nothing."""

from dataclasses import replace

from labkit.classroom import Request, read_class
from labkit.plan.judgement import judge_class, judge_images, judge_machines
from labkit.plan.line import packages
from labkit.plan.loads import totals
from labkit.plan.outcome import Plan
from labkit.plan.survey import Survey
from labkit.run import choose
from labkit.scratch import run_directory


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
        seen, away = survey.machines(forks)
        images = survey.images({one["architecture"] for one in seen.values()})
        loads = survey.loads(seen, images)
        depot, wrong = survey.depot(loads)
        speed, limits = survey.speed(loads), survey.limits()
    systems = [one.system for one in loads if not one.engine]
    carried = packages(systems, once=False), packages(systems, once=True)
    plan = Plan(
        loads, depot, bool(known.depot), totals(loads, depot), carried, limits, speed, images.source
    )
    unknown = {name: images.wrong.get(name) for one in loads for name in one.unknown}
    wrong += [*judge_machines(loads, away), *judge_images(unknown), *judge_class(plan)]
    return replace(plan, warnings=tuple(wrong))
