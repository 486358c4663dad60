"""All sections as one frozen value."""

from __future__ import annotations

from msgspec import Struct

from acsmpd.settings import sections

DEFAULT_SITE_CODE = "11000000005020000000"


class Settings(Struct, frozen=True):
    """All settings, one struct a section. A value that stands here has been judged."""

    site: sections.Site = sections.Site()
    server: sections.Server = sections.Server()
    data: sections.Data = sections.Data()
    log: sections.Log = sections.Log()
    api: sections.Api = sections.Api()
    facade: sections.Facade = sections.Facade()
    enrolment: sections.Enrolment = sections.Enrolment()
    keepalive: sections.Keepalive = sections.Keepalive()
    tokens: sections.Tokens = sections.Tokens()
    sessions: sections.Sessions = sections.Sessions()
    passwords: sections.Passwords = sections.Passwords()
    packages: sections.Packages = sections.Packages()
    push: sections.Push = sections.Push()
    results: sections.Results = sections.Results()
    egress: sections.Egress = sections.Egress()
    observe: sections.Observe = sections.Observe()
    computility: sections.Computility = sections.Computility()
    plans: sections.Plans = sections.Plans()
    pipelines: sections.Pipelines = sections.Pipelines()
    rollouts: sections.Rollouts = sections.Rollouts()
    runtime: sections.Runtime = sections.Runtime()
    local: sections.Local = sections.Local()
    engine: sections.Engine = sections.Engine()
    wire: sections.Wire = sections.Wire()
    metrics: sections.Metrics = sections.Metrics()
    probes: sections.Probes = sections.Probes()
    ccp: sections.Ccp = sections.Ccp()
    licences: sections.Licences = sections.Licences()
    audit: sections.Audit = sections.Audit()
    relay: tuple[sections.Relay, ...] = ()
    upstream: tuple[sections.Upstream, ...] = ()

    @property
    def site_code(self) -> str:
        """Our 20-digit code: the one set, else the stand-in of a box that nobody else can reach."""
        return self.site.code or DEFAULT_SITE_CODE

    @property
    def site_code_is_default(self) -> bool:
        return not self.site.code
