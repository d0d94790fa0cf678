"""The rows that a sender holds, and what it read of them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from tokensvc.delivery.rules import DeliveryKind
from tokensvc.delivery.store import Wanted

_STALE = float("-inf")


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Rows that this sender holds.

    Attributes:
        lease_until: Names the lease.
        taken_at: When the rest was read, epoch seconds.
        send_by: Until when what was read is good for a call, by a clock that never goes back.
        versions: By subject, as `wanted`.
        ring_version: No key that was retired by then is used.
    """

    kind: DeliveryKind
    lease_until: int
    taken_at: float
    send_by: float
    versions: Mapping[str, int]
    wanted: Mapping[str, Wanted]
    ring_version: int

    def __len__(self) -> int:
        return len(self.versions)

    def of(self, subjects: Collection[str]) -> "Batch":
        """Give the part of some subjects. It is read anew before it is sent."""
        return replace(
            self,
            send_by=_STALE,
            versions={each: self.versions[each] for each in self.versions if each in subjects},
            wanted={each: self.wanted[each] for each in self.wanted if each in subjects},
        )

    def halves(self) -> list["Batch"]:
        """Give two parts."""
        subjects = list(self.versions)
        middle = len(subjects) // 2
        return [self.of(subjects[:middle]), self.of(subjects[middle:])]
