"""The workloads of a central computing platform and their pods (Part 4 tables 20-25): listed whole, scaled, deleted."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from acsmpd.clock import Clock
from acsmpd.decide.clusters import LABEL, Pod, load_of_name, undisputed
from acsmpd.drivers.listing import PAGE_SIZE, Budget, Page, whole
from acsmpd.faults import Permanent, StepFault, Temporary, Unknown
from acsmpd.model import Peer
from acsmpd.spec.messages import ccp
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.answer import Missing, clean
from acsmpd.wire.caller import Wire

log = logging.getLogger(__name__)

MAX_WORKLOADS = 2000
"""Workloads of one platform whose pods are asked for."""
MAX_PODS = 5000
"""Pods of one workload."""

_DELETE = BY_ID["ccp.delete_workload"]
_DELETE_FOR_CERTAIN = replace(_DELETE, method=_DELETE.aliases[0][0])
"""The same by the verb that cannot be taken for a question."""


class Workload(Struct, frozen=True, kw_only=True):
    """`load_id`: the load of ours it was made for, "" if none is told."""

    name: str
    namespace: str
    replicas: int
    pods: tuple[Pod, ...] = ()
    load_id: str = ""

    @property
    def key(self) -> str:
        return named(self.name, self.namespace)


def named(name: str, namespace: str) -> str:
    """What we know a workload by. A namespace holds no @."""
    return f"{name}@{namespace.replace('@', '')}"


def _parts(key: str) -> tuple[str, str]:
    name, _, namespace = key.rpartition("@")
    if not name:
        raise Permanent(f"{clean(key)} is not what a workload is known by")
    return name, namespace


class Workloads:
    """Spoken over wire; nothing is remembered here."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire, self._clock = wire, clock

    # --- looking -----------------------------------------------------------------------------------

    def all(self, peer: Peer) -> tuple[Workload, ...]:
        """Everybody's, in the namespaces of ours, with their pods; Temporary when that cannot be had whole."""
        budget = Budget(
            f"the workload list of {peer.code}", self._clock, things="workloads", details=MAX_WORKLOADS
        )
        found = [one for space in peer.namespaces for one in self._in(peer, space, budget)]
        told = [self._with_pods(peer, one, budget) for one in found]
        whose = undisputed([(one.name, one.load_id) for one in told])
        return tuple(replace(one, load_id=load_id) for one, load_id in zip(told, whose, strict=True))

    def _in(self, peer: Peer, space: str, budget: Budget, name: str | None = None) -> list[Workload]:
        def ask(number: int, seconds: float | None) -> Page:
            message = ccp.WorkloadListRequest(
                cluster_code=peer.cluster, namespace=space, workload_name=name,
                page_request=ccp.ApiPAgeRequest(page_number=number, page_size=PAGE_SIZE),
            )  # fmt: skip
            data = self._wire.call(BY_ID["ccp.list_workloads"], peer, message, timeout_seconds=seconds)
            if data is None:
                raise Temporary(f"{budget.what} holds no Data")
            if data.page_content is None:
                raise Temporary(f"{budget.what} holds no PageContent")
            return data.page_content, data.total_size

        def take(records: list[Any]) -> Iterator[tuple[str, Workload]]:
            for record in records:
                if not record.workload_name:
                    raise Temporary(f"{budget.what} holds a workload without a name")
                one = Workload(
                    name=record.workload_name, namespace=space, replicas=max(0, record.replicas or 0)
                )
                yield one.name, one

        return list(whole(budget, ask, take).values())

    def _with_pods(self, peer: Peer, one: Workload, budget: Budget) -> Workload:
        budget.spend_detail()
        try:
            pods = self.pods(peer, one.key, budget.timeout())
        except Missing:
            pods = ()  # it has none: whether it is there the list tells
        told = next((pod.load_id for pod in pods if pod.load_id), "")
        return replace(one, pods=pods, load_id=load_of_name(one.name) or told)

    def pods(self, peer: Peer, key: str, seconds: float | None = None) -> tuple[Pod, ...]:
        """The pods of one workload. Missing when the platform knows none of that name."""
        name, space = _parts(key)
        message = ccp.AlgoServiceListRequest(cluster_code=peer.cluster, namespace=space, workload_name=name)
        data = self._wire.call(BY_ID["ccp.list_pods"], peer, message, timeout_seconds=seconds)
        pods = getattr(data, "pods", None)
        if pods is None:
            raise Temporary(f"the pod list of {clean(name)} on {peer.code} holds no Data")
        if len(pods) > MAX_PODS or not all(pod.name for pod in pods):
            raise Temporary(
                f"the pod list of {clean(name)} on {peer.code} is longer than {MAX_PODS}, or nameless"
            )
        return tuple(_pod(pod) for pod in pods)

    def pod(self, peer: Peer, key: str, pod_name: str) -> Pod:
        """One pod as it is now. Missing when it is gone."""
        name, space = _parts(key)
        message = ccp.AlgoServiceDetailRequest(
            cluster_code=peer.cluster, namespace=space, workload_name=name, pod_name=pod_name
        )
        seen = self._wire.call(BY_ID["ccp.get_pod"], peer, message, path={"PodName": pod_name})
        if getattr(seen, "name", None) != pod_name:
            raise Temporary(f"the answer on pod {clean(pod_name)} of {peer.code} is on another")
        return _pod(seen)

    # --- doing -------------------------------------------------------------------------------------

    def scale(self, peer: Peer, key: str, replicas: int) -> None:
        name, space = _parts(key)
        message = ccp.WorkloadScaleRequest(
            namespace=space, workload_name=name, replicas=replicas, cluster_code=peer.cluster
        )
        self._wire.call(BY_ID["ccp.scale_workload"], peer, message, path={"WorkloadName": name})

    def delete(self, peer: Peer, key: str, *, again: bool) -> None:
        """Returns when the list is without it. The POST of table 21 goes out once (`again`: it may have, before): a
        platform that took it for a question shows the workload still, and is asked by the DELETE (X-CCP-DELETE)."""
        name, space = _parts(key)
        message = ccp.WorkloadDeleteRequest(namespace=space, workload_name=name, cluster_code=peer.cluster)
        path = {"WorkloadName": name}
        if not again:
            try:
                self._wire.call(_DELETE, peer, message, path=path)
            except Missing:
                return
            except Permanent as fault:
                log.info("workload %s is asked to go by DELETE: %s", name, fault.message)
        if not self._is_listed(peer, name, space):
            return
        try:
            self._wire.call(_DELETE_FOR_CERTAIN, peer, message, path=path)
        except Missing:
            return
        except (Permanent, Temporary) as fault:
            if again:
                raise
            raise Unknown(f"the workload is listed still: {fault.message}") from fault
        if self._is_listed(peer, name, space):
            raise Unknown(f"workload {name} is on its way out on {peer.code}, and listed still")

    def _is_listed(self, peer: Peer, name: str, space: str) -> bool:
        """Looked for in the list; Unknown when that cannot be had: something may have been deleted by then."""
        budget = Budget(f"the workload list of {peer.code}", self._clock, things="workloads")
        try:
            return any(one.name == name for one in self._in(peer, space, budget, name))
        except StepFault as fault:
            raise Unknown(f"whether workload {name} is deleted is not known: {fault.message}") from fault


def _pod(seen: Any) -> Pod:
    labels = {label.name: label.value for label in seen.labels or () if label.name}
    return Pod(
        name=str(seen.name),
        address=_address(seen.pod_ip, seen.port),
        status=clean(str(seen.status or "")),
        said=clean(str(seen.status_desc or "")),
        image=str(seen.image or ""),
        restarts=int(seen.restarts or 0),
        ready=bool(seen.ready),
        load_id=str(labels.get(LABEL) or ""),
    )


def _address(ip: Any, port: Any) -> tuple[str, int] | None:
    """An address of a pod is an address: no name, no path, no port beyond the last."""
    try:
        host = ipaddress.ip_address(str(ip or "").strip())
    except ValueError:
        return None
    number = int(port or 0)
    return (str(host), number) if 0 < number < 65536 else None
