"""What the API refuses, apart from its framework: who only asks for a limit need not load that."""

from starlette.exceptions import HTTPException


class Refusal(HTTPException):
    """An answer that is not a success: status, stable code, message."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail=message, headers=headers)
        self.code = code
