"""Every module of handlers; importing them declares which function handles which row."""

from acsmpd.api import (
    authquotas,
    authservers,
    computility,
    copies,
    facade,
    foreign,
    instances,
    licences,
    links,
    packages,
    people,
    pipelines,
    plans,
    policies,
    registration,
    replays,
    results,
    rollouts,
    services,
    system,
    upstreams,
)

MODULES = (
    authquotas, authservers, computility, copies, facade, foreign, instances, licences, links, packages, people,
    pipelines, plans, policies, registration, replays, results, rollouts, services, system, upstreams,
)  # fmt: skip
