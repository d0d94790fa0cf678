"""
Explain to an operator why a token is accepted or refused, check by check.

Runs the same checks as `Issuers.authenticate`, but does not stop at the first refusal.
"""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.findings import Finding, State
from tokensvc.issuers import rules
from tokensvc.issuers.issuer import Issuer
from tokensvc.issuers.verify import UnverifiedToken, claim, parse

_MAX_SHOWN = 200


class _Step(NamedTuple):
    check: str
    setting: str
    seen: str
    run: Callable[[], object]

    def finding(self) -> Finding:
        try:
            outcome = self.run()
        except Refusal as refusal:
            is_outage = refusal.code is Code.TEMPORARILY_UNAVAILABLE
            reason = f" ({refusal.reason})" if is_outage else ""
            seen = f" Value: {self.seen}." if self.seen else ""
            setting = f" Setting: {self.setting}." if self.setting else ""
            return Finding(State.FAILED, f"{refusal.detail}{reason}{seen}{setting}")
        return Finding(State.OK, outcome if isinstance(outcome, str) else self.seen)


def findings(
    unverified_token: str, issuer_of: Callable[[UnverifiedToken], Issuer], now: float
) -> dict[str, Finding]:
    """
    Run every check that is possible, and return what each has found, by its name.

    Args:
        unverified_token: Compact token.
        issuer_of: Returns the issuer that a token names.
    """
    form = _Step("form", "", "", partial(parse, unverified_token)).finding()
    if form.state is State.FAILED:
        return {"form": form}
    token = parse(unverified_token)
    named = _Step("issuer", "issuer", _shown(token.issuer), partial(issuer_of, token)).finding()
    found = {"form": form, "issuer": named}
    if named.state is State.OK:
        found |= {step.check: step.finding() for step in _steps(token, issuer_of(token), now)}
    return found


def _steps(token: UnverifiedToken, issuer: Issuer, now: float) -> Iterable[_Step]:
    settings, claims = issuer.settings, token.claims
    yield _Step(
        "algorithm",
        "algorithms",
        _shown(token.algorithm),
        partial(rules.check_algorithm, settings, token),
    )
    yield _Step("type", "types", _shown(token.typ), partial(rules.check_type, settings, token))
    yield _Step(
        "signature",
        "jwks_uri, discovery or public_keys_file",
        f"kid {_shown(token.kid)}",
        partial(issuer.verify, token, now),
    )
    for check in rules.CLAIM_CHECKS:
        yield _Step(
            check.name,
            check.setting,
            _shown_claims(claims, check.claims(settings)),
            partial(check.run, settings, claims, now),
        )
    if settings.events is not None and settings.events.logout == "session":
        yield _Step("session at the provider", "", "", partial(_session, claims))
    yield _Step(
        "user id",
        "user_id_claim and user_id_mapping",
        _shown_claims(claims, (settings.user_id_claim,)),
        partial(rules.user_id, settings, claims, issuer.alphabet),
    )


def _session(claims: dict[str, Any]) -> str:
    if not claims.get("sid"):
        return "The token has no `sid`: a logout of one session does not end it."
    return f"sid {_shown(claims['sid'])}"


def _shown_claims(claims: dict[str, Any], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {_shown(claim(claims, name))}" for name in names)


def _shown(value: object) -> str:
    """Format an untrusted value as JSON, without control characters for the terminal."""
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"
