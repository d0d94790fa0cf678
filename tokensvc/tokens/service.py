"""From a request to a token, in numbered steps (`docs/life-of-a-token-request.md`)."""

from collections.abc import Callable

from tokensvc.callers.service import Callers
from tokensvc.core.callers import Caller, Credential, UserCaller
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Refusal
from tokensvc.core.user_ids import Alphabet
from tokensvc.stream.keys.service import StreamKeys
from tokensvc.telemetry import metrics
from tokensvc.tokens import rules, signer
from tokensvc.tokens.rules import TokenRequest
from tokensvc.tokens.settings import TokenSettings
from tokensvc.tokens.signer import MintedToken


class TokenService:
    """
    Mints tokens.

    Args:
        count_unnamed: Function that counts a mint whose request named no Stream key.
        random: Returns a number from 0 to 1, for the jitter of the default lifetime.
    """

    def __init__(
        self,
        *,
        callers: Callers,
        keys: StreamKeys,
        count_unnamed: Callable[[], None],
        settings: TokenSettings,
        alphabet: Alphabet,
        random: Callable[[], float],
    ) -> None:
        self._callers = callers
        self._keys = keys
        self._count_unnamed = count_unnamed
        self._settings = settings
        self._alphabet = alphabet
        self._random = random

    def mint_token(
        self, request: TokenRequest, credential: Credential, address: str
    ) -> MintedToken:
        """
        Mint a token for the caller, or for the user that a service names.

        Args:
            request: Parsed request; it proves nothing.
            credential: Unverified credential.
            address: Client address, for the limit on failures.

        Raises:
            Refusal: The first that applies, in the order of these steps.
        """
        # 1 parse: the route has parsed the request.
        # 2 authenticate, and count refused credentials.
        caller = self._callers.authenticate(credential, address)
        # 3 limit by user or by service, and a service also by the user that it names.
        try:
            user_id = rules.token_user_id(request, caller, self._alphabet)
        except Refusal:
            self._callers.check_limit(caller, "token")
            raise
        self._callers.check_limit(caller, "token", user_id)
        return self._mint(caller, request, user_id)

    def mint_for(self, caller: Caller, request: TokenRequest) -> MintedToken:
        """
        Mint a token for an authenticated caller, without a limit: steps 4 to 7.

        Raises:
            Refusal: The first that applies, except those of steps 1 to 3.
        """
        return self._mint(caller, request, rules.token_user_id(request, caller, self._alphabet))

    def _mint(self, caller: Caller, request: TokenRequest, user_id: str) -> MintedToken:
        # 4 read the standing, for an access token with its session, in one statement; the key ring
        # has at least the version it returns.
        standing = self._callers.read_standing(caller, user_id)
        ring = self._keys.ring_at(standing.ring_version)
        # 5 authorize.
        permit = rules.authorize(
            request=request,
            caller=caller,
            user_id=user_id,
            standing=standing,
            ring=ring,
            settings=self._settings,
            jitter=self._random(),
        )
        # 6 sign.
        minted = signer.sign(permit)
        # 7 count and log; the route responds.
        issuer = caller.issuer if isinstance(caller, UserCaller) else "service"
        metrics.count_mint(issuer=issuer, named=request.api_key is not None)
        if request.api_key is None:
            self._count_unnamed()
        log_fields(user_id=minted.user_id, api_key=minted.api_key, expires_at=minted.expires_at)
        return minted
