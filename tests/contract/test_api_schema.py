"""The gateway keeps its own OpenAPI document, whatever is thrown at it."""

from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import APIOperation, AuthContext, Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
)

from holdfast.gateway import guard
from patience import PATIENCE_S
from running_gateway import Gateway

EXAMPLES = 6
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
]


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the request rate: another test shows it."""
    monkeypatch.setattr(guard.RequestRate, "take", lambda _self, _client: 0.0)


def test_every_operation_keeps_the_schema(unhurried: None, gateway: Gateway) -> None:
    url = f"https://127.0.0.1:{gateway.port}"
    session = requests.Session()
    session.headers["connection"] = "close"
    session.trust_env = False  # or a bundle named in the environment would win
    session.verify = str(gateway.settings.state_dir / "keys" / "gateway.crt")
    document = session.get(f"{url}/api/v1/openapi.json", timeout=PATIENCE_S).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)

    # Known as credentials, not as one header among others: `ignored_auth` asks again without them and with wrong ones.
    @schema.auth()
    class Operator:
        def get(self, _case: Case[Any], _context: AuthContext) -> str:
            return gateway.tokens["operator"]

        def set(self, case: Case[Any], token: str, _context: AuthContext) -> None:
            case.headers["Authorization"] = f"Bearer {token}"

    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 19
    for operation in operations:
        check_operation(operation, session)


def check_operation(operation: APIOperation[Any, Any, Any, Any], session: requests.Session) -> None:
    # 503 is how /ready says that the other services do not run here. Roles are shown by the gateway's own tests.
    checks = [check for check in CHECKS if operation.path != "/ready" or check is not not_a_server_error]

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def conforms(case: Case[Any]) -> None:
        case.call_and_validate(session=session, verify=session.verify, checks=checks)

    conforms()
