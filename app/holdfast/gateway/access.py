"""Who may do what: bearer tokens with roles, and refusals as {code, message}."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from holdfast.gateway.refusal import Refusal
from holdfast.gateway.schemas import ErrorBody
from holdfast.gateway.tokens import Role, Token, TokenFile

bearer = HTTPBearer(auto_error=False, description="A token of `holdfast token create`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]

UNAUTHORIZED = "unauthorized"
FORBIDDEN = "forbidden"

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request cannot be read."},
    401: {"model": ErrorBody, "description": "No token, or none that is known."},
    403: {"model": ErrorBody, "description": "The token's role does not allow this."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    422: {"model": ErrorBody, "description": "The request says something that is not allowed."},
    429: {"model": ErrorBody, "description": "Too many requests with this token."},
}
OPEN_REFUSALS: dict[int | str, dict[str, Any]] = {key: REFUSALS[key] for key in (400, 413, 429)}
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": ErrorBody, "description": "There is none of that name."}}


def identify(tokens: TokenFile, presented: str | None) -> Token:
    """Return the token that was presented. Raises: Refusal 401."""
    token = tokens.find(presented) if presented else None
    if token is None:
        challenge = {"www-authenticate": "Bearer"}
        raise Refusal(401, UNAUTHORIZED, "expected the header Authorization: Bearer TOKEN", challenge)
    return token


def require(role: Role) -> Callable[[Request, Credentials], Awaitable[Token]]:
    """Return the dependency of routes that need a role."""

    async def check(request: Request, credentials: Credentials) -> Token:
        tokens: TokenFile = request.app.state.tokens
        token = identify(tokens, credentials.credentials if credentials else None)
        if token.level < role:
            raise Refusal(403, FORBIDDEN, f"token {token.name} is a {token.role}; this needs {role.name.lower()}")
        return token

    return check


Viewer = Annotated[Token, Security(require(Role.VIEWER))]
Operator = Annotated[Token, Security(require(Role.OPERATOR))]
Admin = Annotated[Token, Security(require(Role.ADMIN))]
